#include "minke/text/jinja_print.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <cmath>

#include "minke/base/utf8.h"
#include "minke/text/jinja_interpreter.h"
#include "minke/text/jinja_operators.h"

namespace minke::jinja {
namespace {

constexpr int kPrintDepthMax = 100;

tl::unexpected<Error> too_deep() {
  return fail(ErrorCode::kUsage, "a value is nested deeper than {} levels", kPrintDepthMax);
}

std::string python_escape(uint32_t c, char quote) {
  switch (c) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\\':
      return "\\\\";
    default:
      break;
  }
  if (c == static_cast<unsigned char>(quote)) return {'\\', quote};
  if (is_python_printable(c)) return {};
  if (c < 0x100) return fmt::format("\\x{:02x}", c);
  if (c < 0x10000) return fmt::format("\\u{:04x}", c);
  return fmt::format("\\U{:08x}", c);
}

std::string json_escape(uint32_t c, bool ensure_ascii) {
  switch (c) {
    case '"':
      return "\\\"";
    case '\\':
      return "\\\\";
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    case '\f':
      return "\\f";
    case '\b':
      return "\\b";
    default:
      break;
  }
  if (c < 0x20) return fmt::format("\\u{:04x}", c);
  if (!ensure_ascii || c < 0x7F) return {};
  if (c < 0x10000) return fmt::format("\\u{:04x}", c);
  return fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c - 0x10000) >> 10),
                     0xDC00 + ((c - 0x10000) & 0x3FF));
}

bool is_marked(const Str& s, size_t at) {
  const auto mark = std::partition_point(s.marks.begin(), s.marks.end(),
                                         [at](const TextRange& m) { return m.end <= at; });
  return mark != s.marks.end() && mark->begin <= at;
}

/// Appends `s` with `escape(code_point)` in place of each character for which it is not empty.
template <class Escape>
void append_escaped(MarkedBuilder& out, const Str& s, Escape escape) {
  size_t plain = 0;
  if (!out.heap().try_scan(s.text.size())) return;
  for (size_t at = 0; at < s.text.size() && !out.exhausted();) {
    const Utf8Char c = utf8_next(s.text.substr(at));
    const std::string escaped = escape(c.code_point);
    const size_t next = at + static_cast<size_t>(c.bytes);
    if (!escaped.empty()) {
      out.append(s, plain, at);
      out.append(escaped, is_marked(s, at));
      plain = next;
    }
    at = next;
  }
  out.append(s, plain, s.text.size());
}

void string_repr(MarkedBuilder& out, const Str& s) {
  const bool single = s.text.find('\'') != std::string_view::npos;
  const bool has_double = s.text.find('"') != std::string_view::npos;
  const char quote = single && !has_double ? '"' : '\'';
  if (s.markup) out.append("Markup(", false);
  out.append({&quote, 1}, s.any_untrusted());
  append_escaped(out, s, [quote](uint32_t c) { return python_escape(c, quote); });
  out.append({&quote, 1}, s.any_untrusted());
  if (s.markup) out.append(")", false);
}

Result<void> dict_repr(MarkedBuilder& out, const Dict& dict, int depth) {
  out.append("{", false);
  bool first = true;
  for (const auto& [key, value] : dict.items) {
    if (!first) out.append(", ", false);
    first = false;
    MK_TRY(print_repr(out, key, depth + 1));
    out.append(": ", false);
    MK_TRY(print_repr(out, value, depth + 1));
  }
  out.append("}", false);
  return {};
}

Result<void> sequence_repr(MarkedBuilder& out, const Sequence& sequence, int depth) {
  static constexpr std::pair<std::string_view, std::string_view> kBrackets[] = {
      {"[", "]"},
      {"(", ")"},
      {"", ""},
      {"dict_items([", "])"},
      {"dict_keys([", "])"},
      {"dict_values([", "])"}};
  if (sequence.type == SequenceType::kRange) {
    out.append(sequence.range_text, true);
    return {};
  }
  if (sequence.type == SequenceType::kGenerator) {
    out.append("<generator object>", false);
    return {};
  }
  const auto& [open, close] = kBrackets[static_cast<size_t>(sequence.type)];
  out.append(open, false);
  for (size_t i = 0; i < sequence.items.size(); ++i) {
    if (i > 0) out.append(", ", false);
    MK_TRY(print_repr(out, sequence.items[i], depth + 1));
  }
  if (sequence.type == SequenceType::kTuple && sequence.items.size() == 1) out.append(",", false);
  out.append(close, false);
  return {};
}

Result<void> namespace_repr(MarkedBuilder& out, const Namespace& space, int depth) {
  out.append("<Namespace {", false);
  bool first = true;
  for (const auto& [name, value] : space.attributes) {
    if (!first) out.append(", ", false);
    first = false;
    string_repr(out, *name);
    out.append(": ", false);
    MK_TRY(print_repr(out, value, depth + 1));
  }
  out.append("}>", false);
  return {};
}

void json_break(MarkedBuilder& out, const JsonStyle& style, int depth) {
  if (!style.has_indent) return;
  out.append("\n", false);
  for (int i = 0; i < depth; ++i) out.append(*style.indent.string);
}

void json_string(MarkedBuilder& out, const Str& s, const JsonStyle& style) {
  // The quotes of user text are marked with it: nothing is lost, and ranges stay whole.
  out.append("\"", s.any_untrusted());
  append_escaped(out, s, [&](uint32_t c) { return json_escape(c, style.ensure_ascii); });
  out.append("\"", s.any_untrusted());
}

Result<void> json_key(MarkedBuilder& out, const Value& key, const JsonStyle& style) {
  if (key.is(Kind::kString)) {
    json_string(out, *key.string, style);
    return {};
  }
  if (!key.is_number() && !key.is(Kind::kNone)) {
    return fail(ErrorCode::kUsage, "a dict key of type {} is no JSON", type_name(key));
  }
  out.append("\"", false);
  MK_TRY(print_json(out, key, style));
  out.append("\"", false);
  return {};
}

Result<void> json_dict(MarkedBuilder& out, const Dict& dict, const JsonStyle& style, int depth) {
  std::vector<const std::pair<Value, Value>*> members;
  for (const auto& member : dict.items) members.push_back(&member);
  if (style.sort_keys) {
    Result<void> status;
    std::stable_sort(members.begin(), members.end(), [&](const auto* a, const auto* b) {
      if (!status) return false;
      const Result<std::optional<int>> sign = order(out.heap(), a->first, b->first);
      if (!sign) status = pass_on(sign);
      return sign && *sign && **sign < 0;
    });
    MK_TRY(std::move(status));
  }
  out.append("{", false);
  bool first = true;
  for (const auto* member : members) {
    if (!first) out.append(style.item_separator, false);
    first = false;
    json_break(out, style, depth + 1);
    MK_TRY(json_key(out, member->first, style));
    out.append(style.key_separator, false);
    MK_TRY(print_json(out, member->second, style, depth + 1));
  }
  if (!first) json_break(out, style, depth);
  out.append("}", false);
  return {};
}

Result<void> json_list(MarkedBuilder& out, const Sequence& list, const JsonStyle& style,
                       int depth) {
  if (list.type != SequenceType::kList && list.type != SequenceType::kTuple) {
    Value value(Kind::kSequence);
    value.sequence = &list;
    return fail(ErrorCode::kUsage, "Object of type {} is not JSON serializable", type_name(value));
  }
  out.append("[", false);
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(style.item_separator, false);
    json_break(out, style, depth + 1);
    MK_TRY(print_json(out, list.items[i], style, depth + 1));
  }
  if (!list.items.empty()) json_break(out, style, depth);
  out.append("]", false);
  return {};
}

}  // namespace

bool is_python_printable(uint32_t code_point) {
  if (code_point < 0x7F) return code_point >= 0x20;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

std::string float_repr(double value) {
  std::string text = fmt::format("{}", value);
  if (text == "-nan") text = "nan";
  if (std::isfinite(value) && text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

Result<void> print_repr(MarkedBuilder& out, const Value& value, int depth) {
  if (out.exhausted()) return {};  // values that share parts may be exponentially large
  if (depth > kPrintDepthMax) return too_deep();
  switch (value.kind) {
    case Kind::kMissing:
      break;
    case Kind::kUndefined:
      out.append("Undefined", false);
      break;
    case Kind::kNone:
      out.append("None", false);
      break;
    case Kind::kBool:
      out.append(value.boolean ? "True" : "False", value.untrusted);
      break;
    case Kind::kInt:
      out.append(fmt::format("{}", value.integer), value.untrusted);
      break;
    case Kind::kFloat:
      out.append(float_repr(value.real), value.untrusted);
      break;
    case Kind::kString:
      string_repr(out, *value.string);
      break;
    case Kind::kSequence:
      return sequence_repr(out, *value.sequence, depth);
    case Kind::kDict:
      return dict_repr(out, *value.dict, depth);
    case Kind::kNamespace:
      return namespace_repr(out, *value.name_space, depth);
    case Kind::kFunction:
      out.append("<function ", false);
      out.append(value.function->name, false);
      out.append(">", false);
      break;
    case Kind::kLoop:
      out.append(
          fmt::format("<LoopContext {}/{}>", value.loop->index + 1, value.loop->items->size()),
          false);
      break;
  }
  return {};
}

Result<void> print_str(MarkedBuilder& out, const Value& value) {
  if (value.is(Kind::kUndefined)) return {};
  if (!value.is(Kind::kString)) return print_repr(out, value);
  out.append(*value.string);
  return {};
}

Result<Value> to_str(Heap& heap, const Value& value) {
  if (value.is(Kind::kString)) return value;
  MarkedBuilder out(heap);
  MK_TRY(print_str(out, value));
  return out.finish();
}

Result<void> print_json(MarkedBuilder& out, const Value& value, const JsonStyle& style, int depth) {
  if (out.exhausted()) return {};  // values that share parts may be exponentially large
  if (depth > kPrintDepthMax) return too_deep();
  switch (value.kind) {
    case Kind::kNone:
      out.append("null", false);
      return {};
    case Kind::kBool:
      out.append(value.boolean ? "true" : "false", value.untrusted);
      return {};
    case Kind::kFloat: {
      const double d = value.real;
      out.append(std::isnan(d)   ? "NaN"
                 : std::isinf(d) ? (d < 0 ? "-Infinity" : "Infinity")
                                 : float_repr(d),
                 value.untrusted);
      return {};
    }
    case Kind::kInt:
      return print_repr(out, value);
    case Kind::kString:
      json_string(out, *value.string, style);
      return {};
    case Kind::kSequence:
      return json_list(out, *value.sequence, style, depth);
    case Kind::kDict:
      return json_dict(out, *value.dict, style, depth);
    default:
      break;
  }
  return fail(ErrorCode::kUsage, "Object of type {} is not JSON serializable", type_name(value));
}

}  // namespace minke::jinja
