// Filters of one value: text, numbers, JSON. Filters of sequences are in jinja_list_filters.cpp.
#include <algorithm>
#include <charconv>
#include <cmath>

#include "minke/base/utf8.h"
#include "minke/text/jinja_builtin_tables.h"
#include "minke/text/jinja_builtins.h"
#include "minke/text/jinja_format.h"
#include "minke/text/jinja_lexer.h"
#include "minke/text/jinja_operators.h"
#include "minke/text/jinja_print.h"
#include "minke/text/jinja_text.h"

namespace minke::jinja {
namespace {

/// The filtered value as a string: most text filters take anything, as Python's str() does.
Result<const Str*> self_text(Interpreter& run, const Call& call) {
  MK_ASSIGN(const Value text, to_str(run.heap(), call.self));
  return text.string;
}

template <CaseChange change>
Result<Value> filter_case(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  return change_case(run.heap(), *s, change);
}

Result<Value> filter_title(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  return title_words(run.heap(), *s);
}

Result<Value> filter_trim(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  return strip(run.heap(), *s, call.args[0], Side::kBoth);
}

Result<Value> filter_string(Interpreter& run, Call& call) { return to_str(run.heap(), call.self); }

Result<Value> filter_replace(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  MK_ASSIGN(const Value old, to_str(run.heap(), call.args[0]));
  MK_ASSIGN(const Value by, to_str(run.heap(), call.args[1]));
  MK_ASSIGN(const int64_t count, integer_or(call.args[2], -1));
  return replace(run.heap(), *s, *old.string, *by.string, count);
}

Result<Value> filter_default(Interpreter& run, Call& call) {
  const bool missing = call.self.is(Kind::kUndefined) || (truth(call.args[1]) && !truth(call.self));
  if (!missing) return call.self;
  return call.args[0].given() ? call.args[0] : run.heap().view("", false);
}

Result<Value> filter_length(Interpreter& run, Call& call) {
  MK_ASSIGN(const int64_t count, length(run.heap(), call.self));
  return Value::of_int(count);
}

Result<Value> filter_indent(Interpreter& run, Call& call) {
  if (call.self.is(Kind::kUndefined)) return undefined_error(call.self);
  if (!call.self.is(Kind::kString)) {
    return fail(ErrorCode::kUsage, "indent needs a string, found '{}'", type_name(call.self));
  }
  const Value& width = call.args[0];
  Value by = width;
  if (!width.is(Kind::kString)) {
    MK_ASSIGN(const int64_t count, integer_or(width, 4));
    by = justify(run.heap(), *run.heap().view("", false).string, count, Str{.text = " "},
                 Side::kLeft);
  }
  return indent(run.heap(), *call.self.string, *by.string,
                {.first = truth(call.args[1]), .blank = truth(call.args[2])});
}

Result<Value> filter_center(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  MK_ASSIGN(const int64_t width, integer_or(call.args[0], 80));
  return justify(run.heap(), *s, width, Str{.text = " "}, Side::kBoth);
}

Result<Value> filter_truncate(Interpreter& run, Call& call) {
  MK_ASSIGN(const int64_t count, integer_or(call.args[0], 255));
  MK_ASSIGN(const int64_t leeway, integer_or(call.args[3], 5));
  if (!call.self.is(Kind::kString)) {  // lists that are short enough pass through
    MK_ASSIGN(const int64_t size, length(run.heap(), call.self));
    if (size <= count + leeway) return call.self;
    return fail(ErrorCode::kUsage, "truncate needs a string, found '{}'", type_name(call.self));
  }
  const Str* const s = call.self.string;
  const Value end = call.args[2].is(Kind::kString) ? call.args[2] : run.heap().view("...", false);
  const int64_t kept = count - run.heap().length(*end.string);
  if (kept < 0 || leeway < 0) return fail(ErrorCode::kUsage, "truncate: length below its ending");
  if (run.heap().length(*s) <= count + leeway) return Value::of_string(s);
  size_t bytes = byte_offset(run.heap(), *s, kept);
  if (!truth(call.args[1])) {
    const size_t space = s->text.substr(0, bytes).rfind(' ');
    if (space != std::string_view::npos) bytes = space;
  }
  const Value start = run.heap().slice(*s, 0, bytes);
  return run.heap().concat(*start.string, *end.string);
}

Result<Value> filter_wordcount(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  int64_t count = 0;
  bool inside = false;
  run.heap().try_scan(s->text.size());
  for (size_t at = 0; at < s->text.size();) {
    const Utf8Char c = utf8_next(s->text.substr(at));
    const bool word = c.code_point == '_' ||
                      (c.code_point < 0x80 ? std::isalnum(static_cast<int>(c.code_point)) != 0
                                           : !is_python_space(c.code_point));
    count += word && !inside ? 1 : 0;
    inside = word;
    at += static_cast<size_t>(c.bytes);
  }
  return Value::of_int(count);
}

Result<Value> filter_escape(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  return escape_html(run.heap(), *s);
}

Result<Value> filter_safe(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  return run.heap().markup(*s);
}

Result<Value> filter_forceescape(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  Str plain = *s;
  plain.markup = false;
  return escape_html(run.heap(), plain);
}

Result<Value> filter_tojson(Interpreter& run, Call& call) {
  JsonStyle style;
  style.ensure_ascii = truth(call.args[0]);
  style.sort_keys = truth(call.args[3]);
  const Value& indent = call.args[1];
  if (indent.is(Kind::kString)) {
    style.indent = indent;
    style.has_indent = true;
  } else if (indent.given() && !indent.is(Kind::kNone)) {
    MK_ASSIGN(const int64_t width, integer_or(indent, 0));
    if (width > 100) return fail(ErrorCode::kUsage, "tojson: indent {} is over 100", width);
    style.indent =
        run.heap().copy(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '), false);
    style.has_indent = true;
  }
  if (style.has_indent) style.item_separator = ",";
  const Value& separators = call.args[2];
  if (separators.given() && !separators.is(Kind::kNone)) {
    const bool pair = separators.is(Kind::kSequence) && separators.sequence->items.size() == 2 &&
                      separators.sequence->items[0].is(Kind::kString) &&
                      separators.sequence->items[1].is(Kind::kString);
    if (!pair) return fail(ErrorCode::kUsage, "tojson: separators must be two strings");
    style.item_separator = separators.sequence->items[0].string->text;
    style.key_separator = separators.sequence->items[1].string->text;
  }
  MarkedBuilder out(run.heap());
  MK_TRY(print_json(out, call.self, style));
  return out.finish();
}

/// Python's int(text) or float(text): white space around, underscores between digits.
std::string number_text(std::string_view text) {
  text = strip_space_left(strip_space_right(text));
  std::string digits;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool joins = text[i] == '_' && i > 0 && i + 1 < text.size() &&
                       std::isdigit(static_cast<unsigned char>(text[i - 1])) &&
                       std::isdigit(static_cast<unsigned char>(text[i + 1]));
    if (!joins) digits += text[i];
  }
  if (digits.size() > 1 && digits[0] == '+' && digits[1] != '-') digits.erase(0, 1);
  return digits;
}

bool parse_float(std::string_view text, double& value) {
  const std::string digits = number_text(text);
  const char* const last = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), last, value);
  return parsed.ec == std::errc() && parsed.ptr == last && !digits.empty();
}

bool parse_int(std::string_view text, int base, int64_t& value) {
  std::string digits = number_text(text);
  const size_t sign = digits.starts_with('-') ? 1 : 0;
  static constexpr std::pair<std::string_view, int> kPrefixes[] = {
      {"0x", 16}, {"0o", 8}, {"0b", 2}};
  for (const auto& [prefix, prefix_base] : kPrefixes) {
    if (base == prefix_base && digits.compare(sign, 2, prefix) == 0) digits.erase(sign, 2);
  }
  const char* const last = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), last, value, base);
  return parsed.ec == std::errc() && parsed.ptr == last && !digits.empty();
}

bool float_to_int(double value, int64_t& result) {
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  if (!(value >= -kLimit && value < kLimit)) return false;
  result = static_cast<int64_t>(value);
  return true;
}

Result<Value> filter_int(Interpreter&, Call& call) {
  const Value fallback = call.args[0].given() ? call.args[0] : Value::of_int(0);
  MK_ASSIGN(const int64_t base, integer_or(call.args[1], 10));
  if (base < 2 || base > 36) return fail(ErrorCode::kUsage, "int: base {} is not 2 to 36", base);
  int64_t value = 0;
  if (call.self.is(Kind::kUndefined)) return undefined_error(call.self);
  if (call.self.is_integer()) return Value::of_int(call.self.as_int(), call.self.untrusted);
  if (call.self.is(Kind::kFloat)) {
    if (float_to_int(call.self.real, value)) return Value::of_int(value, call.self.untrusted);
    return fallback;
  }
  if (!call.self.is(Kind::kString)) return fallback;
  const bool untrusted = call.self.string->any_untrusted();
  double real = 0;
  if (parse_int(call.self.string->text, static_cast<int>(base), value)) {
    return Value::of_int(value, untrusted);
  }
  const bool converts = parse_float(call.self.string->text, real) && float_to_int(real, value);
  return converts ? Value::of_int(value, untrusted) : fallback;
}

Result<Value> filter_float(Interpreter&, Call& call) {
  const Value fallback = call.args[0].given() ? call.args[0] : Value::of_float(0);
  if (call.self.is(Kind::kUndefined)) return undefined_error(call.self);
  if (call.self.is_number()) return Value::of_float(call.self.as_float(), call.self.untrusted);
  double real = 0;
  if (call.self.is(Kind::kString) && parse_float(call.self.string->text, real)) {
    return Value::of_float(real, call.self.string->any_untrusted());
  }
  return fallback;
}

Result<Value> filter_abs(Interpreter&, Call& call) {
  if (call.self.is(Kind::kFloat)) {
    return Value::of_float(std::fabs(call.self.real), call.self.untrusted);
  }
  if (!call.self.is_integer()) {
    return fail(ErrorCode::kUsage, "abs needs a number, found '{}'", type_name(call.self));
  }
  if (call.self.as_int() < 0) return negate(call.self);
  return Value::of_int(call.self.as_int(), call.self.untrusted);
}

/// Python's round(value, digits) of an integer: half to even at a power of ten.
int64_t round_integer(int64_t value, int64_t digits) {
  if (digits >= 0) return value;
  if (digits < -18) return 0;
  int64_t scale = 1;
  for (; digits < 0; ++digits) scale *= 10;
  const int64_t rest = value % scale;
  const int64_t low = value - rest;  // towards zero
  const int64_t twice = std::abs(rest) - (scale - std::abs(rest));
  const bool up = twice > 0 || (twice == 0 && (low / scale) % 2 != 0);
  return low + (up ? (value < 0 ? -scale : scale) : 0);
}

Result<Value> filter_round(Interpreter&, Call& call) {
  if (call.self.is(Kind::kUndefined)) return undefined_error(call.self);
  if (!call.self.is_number()) {
    return fail(ErrorCode::kUsage, "round needs a number, found '{}'", type_name(call.self));
  }
  MK_ASSIGN(const int64_t digits, integer_or(call.args[0], 0));
  const std::string_view method =
      call.args[1].is(Kind::kString) ? call.args[1].string->text : "common";
  if (digits < -300 || digits > 300) return fail(ErrorCode::kUsage, "round: {} digits", digits);
  if (method == "common" && call.self.is_integer()) {
    return Value::of_int(round_integer(call.self.as_int(), digits), call.self.untrusted);
  }
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double value = call.self.as_float();
  double rounded = 0;
  if (method == "ceil") {
    rounded = std::ceil(value * scale) / scale;
  } else if (method == "floor") {
    rounded = std::floor(value * scale) / scale;
  } else if (method == "common" && digits >= 0) {
    // Python rounds the exact decimal value of the double, which printf does, too.
    parse_float(fmt::format("{:.{}f}", value, digits), rounded);
  } else if (method == "common") {
    rounded = std::nearbyint(value * scale) / scale;
  } else {
    return fail(ErrorCode::kUsage, "round: method must be common, ceil or floor");
  }
  return Value::of_float(rounded, call.self.untrusted);
}

Result<Value> filter_format(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* s, self_text(run, call));
  if (call.raw.keyword.empty()) {
    const Value tuple = run.heap().sequence(SequenceType::kTuple, std::move(call.raw.positional));
    return percent_format(run.heap(), *s, tuple);
  }
  Dict dict;
  for (const auto& [name, value] : call.raw.keyword) {
    set_key(run.heap(), dict, run.heap().view(name, false), value);
  }
  return percent_format(run.heap(), *s, run.heap().dict(std::move(dict)));
}

Result<Value> filter_attr(Interpreter& run, Call& call) {
  MK_ASSIGN(const Value name, to_str(run.heap(), call.args[0]));
  // Unlike `.name`, this finds attributes only and never items.
  if (call.self.is(Kind::kDict) && !find_container_method(call.self, name.string->text)) {
    return run.heap().undefined(name.string->text, type_name(call.self), Missing::kAttribute);
  }
  return run.attribute(call.self, name.string->text);
}

/// Percent escapes; in a query "/" has one, too, and a space is "+".
Value url_quote(Heap& heap, const Str& s, bool query) {
  std::string text;
  const size_t bytes = s.text.size();
  if (!heap.try_bytes(static_cast<int64_t>(bytes * 3)) || !heap.try_scan(bytes * 8)) {
    return heap.view({}, false);
  }
  for (const char c : s.text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' ||
                       c == '-' || c == '~' || (c == '/' && !query);
    text += plain               ? std::string(1, c)
            : query && c == ' ' ? "+"
                                : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return heap.copy(text, s.any_untrusted());
}

Result<Value> filter_urlencode(Interpreter& run, Call& call) {
  Heap& heap = run.heap();
  if (!call.self.is(Kind::kDict) && !call.self.is(Kind::kSequence)) {
    MK_ASSIGN(const Str* s, self_text(run, call));
    return url_quote(heap, *s, false);
  }
  Call items;
  items.self = call.self;
  MK_ASSIGN(const Value pairs, call.self.is(Kind::kDict)
                                   ? find_container_method(call.self, "items")->run(run, items)
                                   : Result<Value>(call.self));
  MK_ASSIGN(const std::vector<Value> rows, iterate(heap, pairs));
  MarkedBuilder out(heap);
  for (const Value& row : rows) {
    MK_ASSIGN(const std::vector<Value> both, iterate(heap, row));
    if (both.size() != 2) return fail(ErrorCode::kUsage, "urlencode needs pairs");
    if (out.size() > 0) out.append("&", false);
    MK_ASSIGN(const Value key, to_str(heap, both[0]));
    MK_ASSIGN(const Value value, to_str(heap, both[1]));
    out.append(*url_quote(heap, *key.string, true).string);
    out.append("=", false);
    out.append(*url_quote(heap, *value.string, true).string);
  }
  return out.finish();
}

constexpr Builtin kFilters[] = {
    {"abs", "", 0, filter_abs},
    {"attr", "name", 1, filter_attr},
    {"capitalize", "", 0, filter_case<CaseChange::kCapitalize>},
    {"center", "width", 0, filter_center},
    {"count", "", 0, filter_length},
    {"d", "default_value boolean", 0, filter_default},
    {"default", "default_value boolean", 0, filter_default},
    {"e", "", 0, filter_escape},
    {"escape", "", 0, filter_escape},
    {"float", "default", 0, filter_float},
    {"forceescape", "", 0, filter_forceescape},
    {"format", "*", 0, filter_format},
    {"indent", "width first blank", 0, filter_indent},
    {"int", "default base", 0, filter_int},
    {"length", "", 0, filter_length},
    {"lower", "", 0, filter_case<CaseChange::kLower>},
    {"replace", "old new count", 2, filter_replace},
    {"round", "precision method", 0, filter_round},
    {"safe", "", 0, filter_safe},
    {"string", "", 0, filter_string},
    {"title", "", 0, filter_title},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, filter_tojson},
    {"trim", "chars", 0, filter_trim},
    {"truncate", "length killwords end leeway", 0, filter_truncate},
    {"upper", "", 0, filter_case<CaseChange::kUpper>},
    {"urlencode", "", 0, filter_urlencode},
    {"wordcount", "", 0, filter_wordcount},
};

}  // namespace

const Builtin* find_filter(std::string_view name) {
  const Builtin* const found = find_in(kFilters, name);
  return found ? found : find_in(list_filters(), name);
}

}  // namespace minke::jinja
