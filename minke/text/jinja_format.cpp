// The % operator of strings.
#include "minke/text/jinja_format.h"

#include <cmath>

#include "minke/base/utf8.h"
#include "minke/text/jinja_format_spec.h"
#include "minke/text/jinja_operators.h"
#include "minke/text/jinja_print.h"

namespace minke::jinja {
namespace {

Result<Value> repr_of(Heap& heap, const Value& value) {
  MarkedBuilder out(heap);
  MK_TRY(print_repr(out, value));
  return out.finish();
}

/// One % conversion, `rest` after its percent sign and mapping key.
Result<FormatSpec> percent_spec(std::string_view& rest) {
  FormatSpec spec;
  for (; !rest.empty() && std::string_view("-+ #0").find(rest[0]) != std::string_view::npos;
       rest.remove_prefix(1)) {
    if (rest[0] == '-') spec.align = '<';
    if (rest[0] == '+' || (rest[0] == ' ' && spec.sign != '+')) spec.sign = rest[0];
    if (rest[0] == '#') spec.alternate = true;
    if (rest[0] == '0' && spec.align != '<') {
      spec.fill = "0";
      spec.align = '=';
    }
  }
  if (spec.align == '<') spec.fill = " ";
  if (!take_number(rest, spec.width)) return bad_format("the width is too large");
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    if (!take_number(rest, spec.precision)) return bad_format("the precision is too large");
  }
  if (rest.empty()) return bad_format("incomplete conversion");
  spec.type = rest[0] == 'i' || rest[0] == 'u' ? 'd' : rest[0];
  rest.remove_prefix(1);
  return spec;
}

Result<void> percent_value(Heap& heap, MarkedBuilder& out, const Value& value, FormatSpec spec) {
  if (spec.type == 's' || spec.type == 'r' || spec.type == 'a') {
    if (spec.align == '=')
      spec = {.width = spec.width, .precision = spec.precision, .type = spec.type};
    MK_ASSIGN(Value text, spec.type == 's' ? to_str(heap, value) : repr_of(heap, value));
    if (spec.type == 'a') text = escape_non_ascii(heap, *text.string);
    append_text(heap, out, text, spec, '>');
    return {};
  }
  if (spec.type == 'c') {
    if (value.is(Kind::kString) && heap.length(*value.string) == 1) {
      append_text(heap, out, value, spec, '>');
      return {};
    }
    return append_character(heap, out, value, spec, '>');
  }
  const bool integer = is_int_type(spec.type) && spec.type != 'b';
  if (!integer && (!is_float_type(spec.type) || spec.type == '%')) {
    return bad_format("unknown conversion " + byte_name(spec.type));
  }
  if (!value.is_number() || (integer && spec.type != 'd' && !value.is_integer())) {
    return bad_format(fmt::format("%{} needs a number, found '{}'", spec.type, type_name(value)));
  }
  if (!integer || value.is_integer()) {
    append_numeric(out, value, spec);
    return {};
  }
  const double number = std::trunc(value.as_float());
  if (!(std::fabs(number) < 9e18)) return bad_format("%d of a number that is too large");
  append_numeric(out, Value::of_int(static_cast<int64_t>(number), value.untrusted), spec);
  return {};
}

}  // namespace

Result<Value> percent_format(Heap& heap, const Str& format, const Value& argument) {
  const bool tuple =
      argument.is(Kind::kSequence) && argument.sequence->type == SequenceType::kTuple;
  const size_t count = tuple ? argument.sequence->items.size() : 1;
  size_t used = 0;
  bool by_name = false;
  MarkedBuilder out(heap);
  size_t at = 0;
  for (size_t percent; (percent = format.text.find('%', at)) != std::string_view::npos;) {
    if (!heap.try_steps(1)) break;
    out.append(format, at, percent);
    std::string_view rest = format.text.substr(percent + 1);
    if (rest.starts_with('%')) {
      out.append(format, percent, percent + 1);
      at = percent + 2;
      continue;
    }
    Value value;
    if (rest.starts_with('(')) {
      const size_t close = rest.find(')');
      if (close == std::string_view::npos || !argument.is(Kind::kDict)) {
        return bad_format("%(name) needs a dict");
      }
      const Value* const found = find_key(heap, *argument.dict, rest.substr(1, close - 1));
      if (!found) return bad_format("%(name) of a name that is not given");
      value = *found;
      rest.remove_prefix(close + 1);
      by_name = true;
    }
    MK_ASSIGN(const FormatSpec spec, percent_spec(rest));
    if (!value.given()) {
      if (used >= count) return bad_format("not enough arguments for the format string");
      value = tuple ? argument.sequence->items[used] : argument;
      ++used;
    }
    MK_TRY(percent_value(heap, out, value, spec));
    at = format.text.size() - rest.size();
  }
  out.append(format, at, format.text.size());
  const bool mapping = argument.is(Kind::kDict) || (argument.is(Kind::kSequence) && !tuple);
  if (!by_name && used < count && !mapping) {
    return bad_format("not all arguments were used by the format string");
  }
  return out.finish();
}

}  // namespace minke::jinja
