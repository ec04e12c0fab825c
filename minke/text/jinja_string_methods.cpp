// The methods of strings.
#include <utf8proc.h>

#include <algorithm>

#include "minke/base/utf8.h"
#include "minke/text/jinja_builtin_tables.h"
#include "minke/text/jinja_builtins.h"
#include "minke/text/jinja_format.h"
#include "minke/text/jinja_lexer.h"
#include "minke/text/jinja_print.h"
#include "minke/text/jinja_text.h"

namespace minke::jinja {
namespace {

Result<const Str*> text_argument(const Call& call, size_t index) {
  const Value& value = call.args[index];
  if (value.is(Kind::kString)) return value.string;
  if (value.is(Kind::kUndefined)) return undefined_error(value);
  return fail(ErrorCode::kUsage, "a string is needed, found '{}'", type_name(value));
}

template <CaseChange change>
Result<Value> method_case(Interpreter& run, Call& call) {
  return change_case(run.heap(), *call.self.string, change);
}

template <Side side>
Result<Value> method_strip(Interpreter& run, Call& call) {
  return strip(run.heap(), *call.self.string, call.args[0], side);
}

template <bool from_right>
Result<Value> method_split(Interpreter& run, Call& call) {
  MK_ASSIGN(const int64_t count, integer_or(call.args[1], -1));
  const Value& separator = call.args[0];
  if (!separator.given() || separator.is(Kind::kNone)) {
    return split(run.heap(), *call.self.string, nullptr, count, from_right);
  }
  MK_ASSIGN(const Str* text, text_argument(call, 0));
  return split(run.heap(), *call.self.string, text, count, from_right);
}

Result<Value> method_splitlines(Interpreter& run, Call& call) {
  return split_lines(run.heap(), *call.self.string, truth(call.args[0]));
}

template <bool from_right>
Result<Value> method_partition(Interpreter& run, Call& call) {
  Heap& heap = run.heap();
  const Str& s = *call.self.string;
  MK_ASSIGN(const Str* separator, text_argument(call, 0));
  MK_ASSIGN(const Value parts, split(heap, s, separator, 1, from_right));
  if (heap.exhausted()) return Value::none();
  const std::vector<Value>& found = parts.sequence->items;
  const Value none = heap.view("", false);
  if (found.size() == 1) {
    return heap.sequence(SequenceType::kTuple, from_right
                                                   ? std::vector<Value>{none, none, call.self}
                                                   : std::vector<Value>{call.self, none, none});
  }
  const size_t at = found[0].string->text.size();
  const Value middle = heap.slice(s, at, at + separator->text.size());
  return heap.sequence(SequenceType::kTuple, {found[0], middle, found[1]});
}

/// Bytes [start, end) of the string for methods with character positions at args[1], args[2].
Result<TextRange> search_range(Interpreter& run, const Call& call) {
  const Str& s = *call.self.string;
  const int64_t size = run.heap().length(s);
  MK_ASSIGN(int64_t start, integer_or(call.args[1], 0));
  MK_ASSIGN(int64_t end, integer_or(call.args[2], size));
  const auto clamp = [size](int64_t index) {
    return std::clamp<int64_t>(index < 0 ? index + size : index, 0, size);
  };
  if (start > size) return TextRange{1, 0};
  return TextRange{byte_offset(run.heap(), s, clamp(start)),
                   byte_offset(run.heap(), s, clamp(end))};
}

template <bool at_end>
Result<Value> method_starts(Interpreter& run, Call& call) {
  MK_ASSIGN(const TextRange range, search_range(run, call));
  std::vector<Value> options = {call.args[0]};
  if (call.args[0].is(Kind::kSequence) && call.args[0].sequence->type == SequenceType::kTuple) {
    options = call.args[0].sequence->items;
  }
  for (const Value& option : options) {
    if (option.is(Kind::kUndefined)) return undefined_error(option);
    if (!option.is(Kind::kString)) {
      return fail(ErrorCode::kUsage, "a string or a tuple of them is needed, found '{}'",
                  type_name(option));
    }
    if (range.begin > range.end || !run.heap().try_work(option.string->text.size())) continue;
    const std::string_view text =
        call.self.string->text.substr(range.begin, range.end - range.begin);
    const std::string_view part = option.string->text;
    if (at_end ? text.ends_with(part) : text.starts_with(part)) return Value::of_bool(true);
  }
  return Value::of_bool(false);
}

/// The byte offset where the argument is found, npos if nowhere.
Result<size_t> find_argument(Interpreter& run, Call& call, bool from_right) {
  MK_ASSIGN(const Str* part, text_argument(call, 0));
  MK_ASSIGN(const TextRange range, search_range(run, call));
  if (range.begin > range.end) return std::string_view::npos;
  const std::string_view text = call.self.string->text.substr(0, range.end);
  const size_t work = from_right ? text.size() * (part->text.size() + 1) : text.size();
  if (!run.heap().try_scan(work)) return std::string_view::npos;
  if (!from_right) return find_text(text, part->text, range.begin);
  const size_t found = text.rfind(part->text);
  return found == std::string_view::npos || found < range.begin ? std::string_view::npos : found;
}

template <bool from_right, bool must_be_there>
Result<Value> method_find(Interpreter& run, Call& call) {
  MK_ASSIGN(const size_t found, find_argument(run, call, from_right));
  if (found == std::string_view::npos) {
    if (must_be_there) return fail(ErrorCode::kUsage, "substring not found");
    return Value::of_int(-1);
  }
  return Value::of_int(run.heap().length(Str{.text = call.self.string->text.substr(0, found)}));
}

Result<Value> method_count(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* part, text_argument(call, 0));
  MK_ASSIGN(const TextRange range, search_range(run, call));
  if (range.begin > range.end) return Value::of_int(0);
  const std::string_view text = call.self.string->text.substr(0, range.end);
  if (!run.heap().try_scan(text.size())) return Value::of_int(0);
  if (part->text.empty()) {
    return Value::of_int(run.heap().length(Str{.text = text.substr(range.begin)}) + 1);
  }
  int64_t count = 0;
  for (size_t at = range.begin; (at = find_text(text, part->text, at)) != std::string_view::npos;
       at += part->text.size()) {
    ++count;
  }
  return Value::of_int(count);
}

Result<Value> method_replace(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* old, text_argument(call, 0));
  MK_ASSIGN(const Str* by, text_argument(call, 1));
  MK_ASSIGN(const int64_t count, integer_or(call.args[2], -1));
  return replace(run.heap(), *call.self.string, *old, *by, count);
}

Result<Value> method_join(Interpreter& run, Call& call) {
  MK_ASSIGN(const std::vector<Value> items, iterate(run.heap(), call.args[0]));
  return join(run.heap(), items, *call.self.string, false);
}

template <bool at_end>
Result<Value> method_remove(Interpreter& run, Call& call) {
  MK_ASSIGN(const Str* part, text_argument(call, 0));
  const Str& s = *call.self.string;
  const size_t size = s.text.size();
  const size_t cut = part->text.size();
  if (at_end && s.text.ends_with(part->text)) return run.heap().slice(s, 0, size - cut);
  if (!at_end && s.text.starts_with(part->text)) return run.heap().slice(s, cut, size);
  return call.self;
}

template <Side side>
Result<Value> method_justify(Interpreter& run, Call& call) {
  MK_ASSIGN(const int64_t width, integer_or(call.args[0], 0));
  if (!call.args[1].given()) {
    return justify(run.heap(), *call.self.string, width, Str{.text = " "}, side);
  }
  MK_ASSIGN(const Str* fill, text_argument(call, 1));
  if (run.heap().length(*fill) != 1)
    return fail(ErrorCode::kUsage, "the fill must be one character");
  return justify(run.heap(), *call.self.string, width, *fill, side);
}

Result<Value> method_zfill(Interpreter& run, Call& call) {
  Heap& heap = run.heap();
  const Str& s = *call.self.string;
  MK_ASSIGN(const int64_t width, integer_or(call.args[0], 0));
  const Str zero{.text = "0"};
  if (!s.text.starts_with('-') && !s.text.starts_with('+')) {
    return justify(heap, s, width, zero, Side::kRight);
  }
  const Value digits = heap.slice(s, 1, s.text.size());
  const Value padded = justify(heap, *digits.string, width - 1, zero, Side::kRight);
  return heap.concat(*heap.slice(s, 0, 1).string, *padded.string);
}

Result<Value> method_format(Interpreter& run, Call& call) {
  return brace_format(run, *call.self.string, call.raw);
}

Result<Value> method_expandtabs(Interpreter& run, Call& call) {
  MK_ASSIGN(const int64_t size, integer_or(call.args[0], 8));
  if (size > 1000) return fail(ErrorCode::kUsage, "expandtabs: tab size {} is over 1000", size);
  const Str& s = *call.self.string;
  const std::string spaces(static_cast<size_t>(std::max<int64_t>(size, 0)), ' ');
  MarkedBuilder out(run.heap());
  int64_t column = 0;
  for (size_t at = 0; at < s.text.size() && !run.heap().exhausted();) {
    const auto bytes = static_cast<size_t>(utf8_next(s.text.substr(at)).bytes);
    const char c = s.text[at];
    if (c == '\t') {
      const int64_t width = size > 0 ? size - column % size : 0;
      out.append(std::string_view(spaces).substr(0, static_cast<size_t>(width)), s.any_untrusted());
      column += width;
    } else {
      out.append(s, at, at + bytes);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
    at += bytes;
  }
  return out.finish();
}

utf8proc_category_t category(uint32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}
bool is_alpha(uint32_t c) {
  return category(c) >= UTF8PROC_CATEGORY_LU && category(c) <= UTF8PROC_CATEGORY_LO;
}
bool is_decimal(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_number(uint32_t c) {
  return category(c) >= UTF8PROC_CATEGORY_ND && category(c) <= UTF8PROC_CATEGORY_NO;
}
bool is_digit(uint32_t c) {
  const bool superscript = c == 0xB2 || c == 0xB3 || c == 0xB9;
  return is_decimal(c) || superscript || (c >= 0x2070 && c <= 0x2089);
}
bool is_alnum(uint32_t c) { return is_alpha(c) || is_number(c); }
bool is_ascii(uint32_t c) { return c < 0x80; }

template <bool (*test)(uint32_t), bool when_empty = false>
Result<Value> method_all(Interpreter& run, Call& call) {
  const std::string_view text = call.self.string->text;
  if (text.empty()) return Value::of_bool(when_empty);
  run.heap().try_scan(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_next(text.substr(at));
    if (!test(c.code_point)) return Value::of_bool(false);
    at += static_cast<size_t>(c.bytes);
  }
  return Value::of_bool(true);
}

template <bool upper>
Result<Value> method_is_case(Interpreter& run, Call& call) {
  const std::string_view text = call.self.string->text;
  run.heap().try_scan(text.size());
  bool cased = false;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_next(text.substr(at));
    const auto type = category(c.code_point);
    if (type == (upper ? UTF8PROC_CATEGORY_LL : UTF8PROC_CATEGORY_LU)) return Value::of_bool(false);
    cased |= type == (upper ? UTF8PROC_CATEGORY_LU : UTF8PROC_CATEGORY_LL);
    at += static_cast<size_t>(c.bytes);
  }
  return Value::of_bool(cased);
}

/// Python's casefold: lower case, and ss for the sharp s.
Result<Value> method_casefold(Interpreter& run, Call& call) {
  const Value lower = change_case(run.heap(), *call.self.string, CaseChange::kLower);
  return replace(run.heap(), *lower.string, Str{.text = "\u00df"}, Str{.text = "ss"}, -1);
}

/// Whether every word starts with its only capital, and there is one.
Result<Value> method_istitle(Interpreter& run, Call& call) {
  const std::string_view text = call.self.string->text;
  run.heap().try_scan(text.size());
  bool found = false;
  bool inside_word = false;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_next(text.substr(at));
    const auto type = category(c.code_point);
    const bool upper = type == UTF8PROC_CATEGORY_LU || type == UTF8PROC_CATEGORY_LT;
    const bool lower = type == UTF8PROC_CATEGORY_LL;
    if ((upper && inside_word) || (lower && !inside_word)) return Value::of_bool(false);
    found |= upper;
    inside_word = upper || lower;
    at += static_cast<size_t>(c.bytes);
  }
  return Value::of_bool(found);
}

Result<Value> method_isidentifier(Interpreter& run, Call& call) {
  const std::string_view text = call.self.string->text;
  run.heap().try_scan(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_next(text.substr(at));
    const bool starts = is_alpha(c.code_point) || c.code_point == '_';
    if (!starts && (at == 0 || !is_decimal(c.code_point))) return Value::of_bool(false);
    at += static_cast<size_t>(c.bytes);
  }
  return Value::of_bool(!text.empty());
}

Result<Value> method_format_map(Interpreter& run, Call& call) {
  if (!call.args[0].is(Kind::kDict)) return fail(ErrorCode::kUsage, "format_map needs a dict");
  Arguments arguments;
  for (const auto& [key, value] : call.args[0].dict->items) {
    if (key.is(Kind::kString)) arguments.keyword.emplace_back(key.string->text, value);
  }
  return brace_format(run, *call.self.string, arguments);
}

constexpr Builtin kStringMethods[] = {
    {"capitalize", "", 0, method_case<CaseChange::kCapitalize>},
    {"casefold", "", 0, method_casefold},
    {"center", "width fillchar", 1, method_justify<Side::kBoth>},
    {"count", "sub start end", 1, method_count},
    {"endswith", "suffix start end", 1, method_starts<true>},
    {"expandtabs", "tabsize", 0, method_expandtabs},
    {"find", "sub start end", 1, method_find<false, false>},
    {"format", "*", 0, method_format},
    {"format_map", "mapping", 1, method_format_map},
    {"index", "sub start end", 1, method_find<false, true>},
    {"isalnum", "", 0, method_all<is_alnum>},
    {"isalpha", "", 0, method_all<is_alpha>},
    {"isascii", "", 0, method_all<is_ascii, true>},
    {"isdecimal", "", 0, method_all<is_decimal>},
    {"isdigit", "", 0, method_all<is_digit>},
    {"isidentifier", "", 0, method_isidentifier},
    {"islower", "", 0, method_is_case<false>},
    {"isnumeric", "", 0, method_all<is_number>},
    {"isprintable", "", 0, method_all<is_python_printable, true>},
    {"isspace", "", 0, method_all<is_python_space>},
    {"istitle", "", 0, method_istitle},
    {"isupper", "", 0, method_is_case<true>},
    {"join", "iterable", 1, method_join},
    {"ljust", "width fillchar", 1, method_justify<Side::kLeft>},
    {"lower", "", 0, method_case<CaseChange::kLower>},
    {"lstrip", "chars", 0, method_strip<Side::kLeft>},
    {"partition", "sep", 1, method_partition<false>},
    {"removeprefix", "prefix", 1, method_remove<false>},
    {"removesuffix", "suffix", 1, method_remove<true>},
    {"replace", "old new count", 2, method_replace},
    {"rfind", "sub start end", 1, method_find<true, false>},
    {"rindex", "sub start end", 1, method_find<true, true>},
    {"rjust", "width fillchar", 1, method_justify<Side::kRight>},
    {"rpartition", "sep", 1, method_partition<true>},
    {"rsplit", "sep maxsplit", 0, method_split<true>},
    {"rstrip", "chars", 0, method_strip<Side::kRight>},
    {"split", "sep maxsplit", 0, method_split<false>},
    {"splitlines", "keepends", 0, method_splitlines},
    {"startswith", "prefix start end", 1, method_starts<false>},
    {"strip", "chars", 0, method_strip<Side::kBoth>},
    {"swapcase", "", 0, method_case<CaseChange::kSwap>},
    {"title", "", 0, method_case<CaseChange::kTitle>},
    {"upper", "", 0, method_case<CaseChange::kUpper>},
    {"zfill", "width", 1, method_zfill},
};

}  // namespace

const Builtin* find_string_method(std::string_view name) { return find_in(kStringMethods, name); }

}  // namespace minke::jinja
