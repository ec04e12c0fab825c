// The tests of `x is name(...)`.
#include "minke/text/jinja_builtin_tables.h"
#include "minke/text/jinja_builtins.h"
#include "minke/text/jinja_print.h"
#include "minke/text/jinja_text.h"

namespace minke::jinja {
namespace {

template <bool (*test)(const Value&)>
Result<Value> simple(Interpreter&, Call& call) {
  return Value::of_bool(test(call.self));
}

bool is_defined(const Value& v) { return !v.is(Kind::kUndefined); }
bool is_undefined(const Value& v) { return v.is(Kind::kUndefined); }
bool is_none(const Value& v) { return v.is(Kind::kNone); }
bool is_boolean(const Value& v) { return v.is(Kind::kBool); }
bool is_true(const Value& v) { return v.is(Kind::kBool) && v.boolean; }
bool is_false(const Value& v) { return v.is(Kind::kBool) && !v.boolean; }
bool is_integer(const Value& v) { return v.is(Kind::kInt); }
bool is_float(const Value& v) { return v.is(Kind::kFloat); }
bool is_number(const Value& v) { return v.is_number(); }
bool is_string(const Value& v) { return v.is(Kind::kString); }
bool is_mapping(const Value& v) { return v.is(Kind::kDict); }
/// Undefined values can be called as far as Python sees; it is an error to do so.
bool is_callable(const Value& v) {
  return v.is(Kind::kFunction) || v.is(Kind::kLoop) || v.is(Kind::kUndefined);
}
bool is_iterable(const Value& v) {
  return v.is(Kind::kUndefined) || v.is(Kind::kString) || v.is(Kind::kSequence) ||
         v.is(Kind::kDict) || v.is(Kind::kLoop);
}
/// jinja2 asks for len() and [], which undefined values have, too, to its surprise and ours.
bool is_sequence(const Value& v) {
  if (v.is(Kind::kSequence)) return v.sequence->type <= SequenceType::kRange;
  return v.is(Kind::kString) || v.is(Kind::kDict) || v.is(Kind::kUndefined);
}
bool is_escaped(const Value& v) { return v.is(Kind::kString) && v.string->markup; }

template <int64_t rest>
Result<Value> test_parity(Interpreter& run, Call& call) {
  MK_ASSIGN(const Value mod, arithmetic(run.heap(), Op::kMod, call.self, Value::of_int(2)));
  return Value::of_bool(mod.is_number() && mod.as_float() == static_cast<double>(rest));
}

Result<Value> test_divisible(Interpreter& run, Call& call) {
  MK_ASSIGN(const Value mod, arithmetic(run.heap(), Op::kMod, call.self, call.args[0]));
  return Value::of_bool(mod.is_number() && mod.as_float() == 0);
}

template <Op op>
Result<Value> test_compare(Interpreter& run, Call& call) {
  MK_ASSIGN(const bool holds, compare(run.heap(), op, call.self, call.args[0]));
  return Value::of_bool(holds);
}

template <CaseChange change>
Result<Value> test_case(Interpreter& run, Call& call) {
  const Builtin* const method =
      find_string_method(change == CaseChange::kUpper ? "isupper" : "islower");
  MK_ASSIGN(call.self, to_str(run.heap(), call.self));
  return method->run(run, call);
}

Result<Value> test_same(Interpreter& run, Call& call) {
  const Value& other = call.args[0];
  if (call.self.kind != other.kind) return Value::of_bool(false);
  if (call.self.is(Kind::kUndefined)) {
    return Value::of_bool(call.self.undefined == other.undefined);
  }
  if (call.self.is(Kind::kSequence)) return Value::of_bool(call.self.sequence == other.sequence);
  if (call.self.is(Kind::kDict)) return Value::of_bool(call.self.dict == other.dict);
  MK_ASSIGN(const bool same, equals(run.heap(), call.self, other));
  return Value::of_bool(same);
}

template <const Builtin* (*find)(std::string_view)>
Result<Value> test_exists(Interpreter&, Call& call) {
  return Value::of_bool(call.self.is(Kind::kString) && find(call.self.string->text) != nullptr);
}

constexpr Builtin kTests[] = {
    {"!=", "other", 1, test_compare<Op::kNotEqual>},
    {"<", "other", 1, test_compare<Op::kLess>},
    {"<=", "other", 1, test_compare<Op::kLessEqual>},
    {"==", "other", 1, test_compare<Op::kEqual>},
    {">", "other", 1, test_compare<Op::kGreater>},
    {">=", "other", 1, test_compare<Op::kGreaterEqual>},
    {"boolean", "", 0, simple<is_boolean>},
    {"callable", "", 0, simple<is_callable>},
    {"defined", "", 0, simple<is_defined>},
    {"divisibleby", "num", 1, test_divisible},
    {"eq", "other", 1, test_compare<Op::kEqual>},
    {"equalto", "other", 1, test_compare<Op::kEqual>},
    {"escaped", "", 0, simple<is_escaped>},
    {"even", "", 0, test_parity<0>},
    {"false", "", 0, simple<is_false>},
    {"filter", "", 0, test_exists<find_filter>},
    {"float", "", 0, simple<is_float>},
    {"ge", "other", 1, test_compare<Op::kGreaterEqual>},
    {"greaterthan", "other", 1, test_compare<Op::kGreater>},
    {"gt", "other", 1, test_compare<Op::kGreater>},
    {"in", "seq", 1, test_compare<Op::kIn>},
    {"integer", "", 0, simple<is_integer>},
    {"iterable", "", 0, simple<is_iterable>},
    {"le", "other", 1, test_compare<Op::kLessEqual>},
    {"lessthan", "other", 1, test_compare<Op::kLess>},
    {"lower", "", 0, test_case<CaseChange::kLower>},
    {"lt", "other", 1, test_compare<Op::kLess>},
    {"mapping", "", 0, simple<is_mapping>},
    {"ne", "other", 1, test_compare<Op::kNotEqual>},
    {"none", "", 0, simple<is_none>},
    {"number", "", 0, simple<is_number>},
    {"odd", "", 0, test_parity<1>},
    {"sameas", "other", 1, test_same},
    {"sequence", "", 0, simple<is_sequence>},
    {"string", "", 0, simple<is_string>},
    {"test", "", 0, test_exists<find_test>},
    {"true", "", 0, simple<is_true>},
    {"undefined", "", 0, simple<is_undefined>},
    {"upper", "", 0, test_case<CaseChange::kUpper>},
};

}  // namespace

const Builtin* find_test(std::string_view name) { return find_in(kTests, name); }

}  // namespace minke::jinja
