#include <cmath>

#include "minke/text/jinja_format.h"
#include "minke/text/jinja_operators.h"
#include "minke/text/jinja_text.h"

namespace minke::jinja {
namespace {

const char* op_text(Op op) {
  switch (op) {
    case Op::kAdd:
      return "+";
    case Op::kSub:
      return "-";
    case Op::kMul:
      return "*";
    case Op::kDiv:
      return "/";
    case Op::kFloorDiv:
      return "//";
    case Op::kMod:
      return "%";
    default:
      return "**";
  }
}

tl::unexpected<Error> unsupported(Op op, const Value& a, const Value& b) {
  return fail(ErrorCode::kUsage, "unsupported operand types for {}: '{}' and '{}'", op_text(op),
              type_name(a), type_name(b));
}

tl::unexpected<Error> overflow(Op op) {
  return fail(ErrorCode::kUsage, "integer overflow in {}", op_text(op));
}

tl::unexpected<Error> zero_division() { return fail(ErrorCode::kUsage, "division by zero"); }

/// base ** exponent in 64 bits; false when it does not fit.
bool power(int64_t base, int64_t exponent, int64_t& result) {
  result = 1;
  while (exponent > 0) {
    if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return false;
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return false;
  }
  return true;
}

double float_mod(double x, double y) {
  // Python's result has the sign of the divisor.
  double rest = std::fmod(x, y);
  if (rest != 0 && (rest < 0) != (y < 0)) rest += y;
  if (rest == 0) rest = std::copysign(0.0, y);
  return rest;
}

double float_floor_div(double x, double y) {
  const double quotient = (x - float_mod(x, y)) / y;
  const double floored = std::floor(quotient);
  return quotient - floored > 0.5 ? floored + 1 : floored;
}

Result<Value> float_arithmetic(Op op, double x, double y, bool from_user) {
  if (y == 0 && (op == Op::kDiv || op == Op::kFloorDiv || op == Op::kMod)) return zero_division();
  switch (op) {
    case Op::kAdd:
      return Value::of_float(x + y, from_user);
    case Op::kSub:
      return Value::of_float(x - y, from_user);
    case Op::kMul:
      return Value::of_float(x * y, from_user);
    case Op::kDiv:
      return Value::of_float(x / y, from_user);
    case Op::kFloorDiv:
      return Value::of_float(float_floor_div(x, y), from_user);
    case Op::kMod:
      return Value::of_float(float_mod(x, y), from_user);
    default:
      break;
  }
  if (x == 0 && y < 0) return zero_division();
  const double result = std::pow(x, y);
  if (std::isnan(result) && !std::isnan(x) && !std::isnan(y)) {
    return fail(ErrorCode::kUsage, "{} ** {} is no real number", x, y);
  }
  if (std::isinf(result) && std::isfinite(x) && std::isfinite(y)) return overflow(op);
  return Value::of_float(result, from_user);
}

Result<Value> int_arithmetic(Op op, int64_t x, int64_t y, bool from_user) {
  int64_t result = 0;
  bool wraps = false;
  switch (op) {
    case Op::kAdd:
      wraps = __builtin_add_overflow(x, y, &result);
      break;
    case Op::kSub:
      wraps = __builtin_sub_overflow(x, y, &result);
      break;
    case Op::kMul:
      wraps = __builtin_mul_overflow(x, y, &result);
      break;
    case Op::kPow:
      if (y < 0) {
        return float_arithmetic(op, static_cast<double>(x), static_cast<double>(y), from_user);
      }
      wraps = !power(x, y, result);
      break;
    case Op::kDiv:
      return float_arithmetic(op, static_cast<double>(x), static_cast<double>(y), from_user);
    default: {
      if (y == 0) return zero_division();
      if (y == -1) {  // INT64_MIN / -1 would trap
        wraps = op == Op::kFloorDiv && __builtin_sub_overflow(int64_t{0}, x, &result);
        break;
      }
      const int64_t rest = x % y;
      const bool lower = rest != 0 && (rest < 0) != (y < 0);  // Python rounds down
      result = op == Op::kMod ? (lower ? rest + y : rest) : x / y - (lower ? 1 : 0);
      break;
    }
  }
  if (wraps) return overflow(op);
  return Value::of_int(result, from_user);
}

tl::unexpected<Error> repeat_too_big() {
  return fail(ErrorCode::kWillNotFit,
              "a repeated string or list would take more memory than allowed");
}

Result<Value> repeat_string(Heap& heap, const Str& s, int64_t times) {
  if (times <= 0 || s.text.empty()) return heap.copy("", false);
  int64_t bytes = 0;
  if (__builtin_mul_overflow(times, static_cast<int64_t>(s.text.size() + s.marks.size() * 16),
                             &bytes) ||
      !heap.has_bytes(bytes)) {
    return repeat_too_big();
  }
  MarkedBuilder out(heap);
  for (int64_t i = 0; i < times; ++i) {
    out.append(s);
    if (heap.exhausted()) return repeat_too_big();
  }
  return out.finish();
}

Result<Value> repeat_list(Heap& heap, const Sequence& list, int64_t times) {
  if (list.type > SequenceType::kTuple)
    return fail(ErrorCode::kUsage, "only lists can be repeated");
  if (times < 0) times = 0;
  int64_t bytes = 0;
  if (__builtin_mul_overflow(times, static_cast<int64_t>(list.items.size() * sizeof(Value)),
                             &bytes) ||
      !heap.try_bytes(bytes)) {
    return repeat_too_big();
  }
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(bytes) / sizeof(Value));
  if (!list.items.empty()) {
    for (int64_t i = 0; i < times; ++i) {
      items.insert(items.end(), list.items.begin(), list.items.end());
    }
  }
  return heap.sequence(list.type, std::move(items));
}

Result<Value> multiply(Heap& heap, const Value& a, const Value& b) {
  if (a.is(Kind::kString) && b.is_integer()) return repeat_string(heap, *a.string, b.as_int());
  if (b.is(Kind::kString) && a.is_integer()) return repeat_string(heap, *b.string, a.as_int());
  if (a.is(Kind::kSequence) && b.is_integer()) return repeat_list(heap, *a.sequence, b.as_int());
  if (b.is(Kind::kSequence) && a.is_integer()) return repeat_list(heap, *b.sequence, a.as_int());
  return unsupported(Op::kMul, a, b);
}

Result<Value> add(Heap& heap, const Value& a, const Value& b) {
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    if (!a.string->markup && !b.string->markup) return heap.concat(*a.string, *b.string);
    const Value left = escape_html(heap, *a.string);
    const Value right = escape_html(heap, *b.string);
    return heap.markup(*heap.concat(*left.string, *right.string).string);
  }
  const bool lists = a.is(Kind::kSequence) && b.is(Kind::kSequence) &&
                     a.sequence->type == b.sequence->type &&
                     a.sequence->type <= SequenceType::kTuple;
  if (!lists) return unsupported(Op::kAdd, a, b);
  const size_t size = a.sequence->items.size() + b.sequence->items.size();
  if (!heap.try_steps(static_cast<int64_t>(size / 8))) return Value::none();
  std::vector<Value> items;
  items.reserve(size);
  items.insert(items.end(), a.sequence->items.begin(), a.sequence->items.end());
  items.insert(items.end(), b.sequence->items.begin(), b.sequence->items.end());
  return heap.sequence(a.sequence->type, std::move(items));
}

}  // namespace

Result<Value> arithmetic(Heap& heap, Op op, const Value& a, const Value& b) {
  const bool formats = op == Op::kMod && a.is(Kind::kString);
  if (a.is(Kind::kUndefined)) return undefined_error(a);
  if (b.is(Kind::kUndefined) && !formats) return undefined_error(b);
  if (a.is_number() && b.is_number()) {
    const bool from_user = a.untrusted || b.untrusted;
    if (a.is_integer() && b.is_integer()) {
      return int_arithmetic(op, a.as_int(), b.as_int(), from_user);
    }
    return float_arithmetic(op, a.as_float(), b.as_float(), from_user);
  }
  if (op == Op::kAdd) return add(heap, a, b);
  if (op == Op::kMul) return multiply(heap, a, b);
  if (formats) return percent_format(heap, *a.string, b);
  return unsupported(op, a, b);
}

Result<Value> negate(const Value& value) {
  if (value.is(Kind::kUndefined)) return undefined_error(value);
  if (value.is(Kind::kFloat)) return Value::of_float(-value.real, value.untrusted);
  if (!value.is_integer()) {
    return fail(ErrorCode::kUsage, "bad operand type for unary -: '{}'", type_name(value));
  }
  return int_arithmetic(Op::kSub, 0, value.as_int(), value.untrusted);
}

}  // namespace minke::jinja
