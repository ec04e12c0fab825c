#include "minke/text/jinja_text.h"

#include <utf8proc.h>

#include <algorithm>
#include <functional>

#include "minke/base/utf8.h"
#include "minke/text/jinja_case.h"
#include "minke/text/jinja_lexer.h"
#include "minke/text/jinja_operators.h"
#include "minke/text/jinja_print.h"

namespace minke::jinja {
namespace {

using CharTest = std::function<bool(std::string_view character, uint32_t code_point)>;

/// Offsets of `s` without the characters at its ends for which `drop` holds.
TextRange strip_range(std::string_view s, Side side, const CharTest& drop) {
  TextRange kept{0, s.size()};
  while (side != Side::kRight && kept.begin < kept.end) {
    const Utf8Char c = utf8_next(s.substr(kept.begin));
    const auto bytes = static_cast<size_t>(c.bytes);
    if (!drop(s.substr(kept.begin, bytes), c.code_point)) break;
    kept.begin += bytes;
  }
  while (side != Side::kLeft && kept.begin < kept.end) {
    size_t start = kept.end - 1;
    while (start > kept.begin && kept.end - start < 4 && (s[start] & 0xC0) == 0x80) --start;
    const Utf8Char c = utf8_next(s.substr(start));
    if (!drop(s.substr(start, kept.end - start), c.code_point)) break;
    kept.end = start;
  }
  return kept;
}

bool is_upper(uint32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c)) == UTF8PROC_CATEGORY_LU;
}

/// Maps every character. ASCII keeps its marks; other text is marked as a whole, as its length may
/// change.
template <class Map>
Value map_characters(Heap& heap, const Str& s, Map map) {
  std::string text;
  if (!heap.try_scan(s.text.size() * 8) || !heap.try_bytes(static_cast<int64_t>(s.text.size()))) {
    return heap.view({}, false);
  }
  text.reserve(s.text.size());
  for (size_t at = 0; at < s.text.size();) {
    const Utf8Char c = utf8_next(s.text.substr(at));
    map(c.code_point, text);
    at += static_cast<size_t>(c.bytes);
  }
  std::vector<TextRange> marks;
  if (s.is_ascii() && text.size() == s.text.size()) {
    marks = s.marks;
  } else if (s.any_untrusted() && !text.empty()) {
    marks.push_back({0, text.size()});
  }
  return heap.adopt(std::move(text), std::move(marks));
}

}  // namespace

Result<Value> strip(Heap& heap, const Str& s, const Value& chars, Side side) {
  if (!chars.given() || chars.is(Kind::kNone)) {
    const TextRange kept =
        strip_range(s.text, side, [](std::string_view, uint32_t c) { return is_python_space(c); });
    heap.try_scan(s.text.size() - (kept.end - kept.begin));
    return heap.slice(s, kept.begin, kept.end);
  }
  if (!chars.is(Kind::kString)) {
    return fail(ErrorCode::kUsage, "strip needs a string, found '{}'", type_name(chars));
  }
  const std::string_view set = chars.string->text;
  const TextRange kept = strip_range(s.text, side, [&](std::string_view character, uint32_t) {
    return heap.try_scan(set.size()) && set.find(character) != std::string_view::npos;
  });
  return heap.slice(s, kept.begin, kept.end);
}

Value change_case(Heap& heap, const Str& s, CaseChange change) {
  bool inside_word = false;
  return map_characters(heap, s, [&](uint32_t c, std::string& out) {
    switch (change) {
      case CaseChange::kUpper:
        append_upper(out, c);
        return;
      case CaseChange::kLower:
        append_lower(out, c);
        return;
      case CaseChange::kCapitalize:
      case CaseChange::kTitle:
        inside_word ? append_lower(out, c) : append_title(out, c);
        break;
      case CaseChange::kSwap:
        is_upper(c) ? append_lower(out, c) : append_upper(out, c);
        return;
    }
    inside_word = change == CaseChange::kCapitalize || is_cased(c);
  });
}

Value title_words(Heap& heap, const Str& s) {
  bool inside_word = false;
  return map_characters(heap, s, [&](uint32_t c, std::string& out) {
    const bool breaks =
        is_python_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    if (breaks || inside_word) {
      append_lower(out, c);
    } else {
      append_upper(out, c);
    }
    inside_word = !breaks;
  });
}

Value replace(Heap& heap, const Str& s, const Str& old, const Str& by, int64_t count) {
  MarkedBuilder out(heap);
  size_t at = 0;
  size_t from = 0;
  for (; count != 0 && !heap.exhausted(); --count) {
    const size_t found = find_text(s.text, old.text, from);
    if (found == std::string_view::npos) break;
    out.append(s, at, found);
    out.append(by);
    at = found + old.text.size();
    from = at;
    if (!old.text.empty()) continue;
    // An empty pattern matches before each character and at the end.
    if (found == s.text.size()) break;
    from += static_cast<size_t>(utf8_next(s.text.substr(found)).bytes);
  }
  out.append(s, at, s.text.size());
  return out.finish();
}

namespace {

std::vector<Value> split_space(Heap& heap, const Str& s, int64_t count_max, bool from_right) {
  std::vector<Value> parts;
  const CharTest space = [](std::string_view, uint32_t c) { return is_python_space(c); };
  TextRange left = strip_range(s.text, from_right ? Side::kRight : Side::kLeft, space);
  while (left.begin < left.end && heap.try_steps(1)) {
    const std::string_view text = s.text.substr(left.begin, left.end - left.begin);
    const TextRange rest_range =
        strip_range(text, from_right ? Side::kRight : Side::kLeft,
                    [](std::string_view, uint32_t c) { return !is_python_space(c); });
    if (count_max == 0) {
      // What remains keeps the spaces inside of it and at its far end.
      parts.push_back(heap.slice(s, left.begin, left.end));
      break;
    }
    --count_max;
    if (from_right) {
      parts.push_back(heap.slice(s, left.begin + rest_range.end, left.end));
      left.end = left.begin + rest_range.end;
    } else {
      parts.push_back(heap.slice(s, left.begin, left.begin + rest_range.begin));
      left.begin += rest_range.begin;
    }
    const TextRange next = strip_range(s.text.substr(left.begin, left.end - left.begin),
                                       from_right ? Side::kRight : Side::kLeft, space);
    left = {left.begin + next.begin, left.begin + next.end};
  }
  return parts;
}

}  // namespace

Result<Value> split(Heap& heap, const Str& s, const Str* separator, int64_t count_max,
                    bool from_right) {
  std::vector<Value> parts;
  if (!heap.try_scan(s.text.size())) return heap.view({}, false);
  if (!separator) {
    parts = split_space(heap, s, count_max, from_right);
  } else if (separator->text.empty()) {
    return fail(ErrorCode::kUsage, "split needs a separator that is not empty");
  } else if (from_right) {
    size_t end = s.text.size();
    // Searching backwards has no linear algorithm in the library: the worst case is paid for.
    if (!heap.try_scan(end * separator->text.size())) return heap.view({}, false);
    while (count_max != 0 && heap.try_steps(1)) {
      const size_t found = end < separator->text.size()
                               ? std::string_view::npos
                               : s.text.substr(0, end).rfind(separator->text);
      if (found == std::string_view::npos) break;
      parts.push_back(heap.slice(s, found + separator->text.size(), end));
      end = found;
      --count_max;
    }
    parts.push_back(heap.slice(s, 0, end));
  } else {
    size_t begin = 0;
    while (count_max != 0 && heap.try_steps(1)) {
      const size_t found = find_text(s.text, separator->text, begin);
      if (found == std::string_view::npos) break;
      parts.push_back(heap.slice(s, begin, found));
      begin = found + separator->text.size();
      --count_max;
    }
    parts.push_back(heap.slice(s, begin, s.text.size()));
  }
  if (from_right) std::reverse(parts.begin(), parts.end());
  return heap.sequence(SequenceType::kList, std::move(parts));
}

Value split_lines(Heap& heap, const Str& s, bool keep_ends) {
  std::vector<Value> lines;
  size_t begin = 0;
  if (!heap.try_scan(s.text.size())) return heap.sequence(SequenceType::kList, {});
  for (size_t at = 0; at < s.text.size();) {
    const Utf8Char c = utf8_next(s.text.substr(at));
    const size_t next = at + static_cast<size_t>(c.bytes);
    const uint32_t p = c.code_point;
    const bool breaks = (p >= 0x0A && p <= 0x0D) || (p >= 0x1C && p <= 0x1E) || p == 0x85 ||
                        p == 0x2028 || p == 0x2029;
    size_t after = next;
    if (p == '\r' && after < s.text.size() && s.text[after] == '\n') ++after;
    if (breaks) {
      if (!heap.try_steps(1)) break;
      lines.push_back(heap.slice(s, begin, keep_ends ? after : at));
      begin = after;
    }
    at = breaks ? after : next;
  }
  if (begin < s.text.size()) lines.push_back(heap.slice(s, begin, s.text.size()));
  return heap.sequence(SequenceType::kList, std::move(lines));
}

Result<Value> join(Heap& heap, const std::vector<Value>& items, const Str& separator,
                   bool convert) {
  MarkedBuilder out(heap);
  bool first = true;
  for (const Value& item : items) {
    if (!first) out.append(separator);
    first = false;
    if (!convert && !item.is(Kind::kString)) {
      return fail(ErrorCode::kUsage, "join needs strings, found '{}'", type_name(item));
    }
    MK_TRY(print_str(out, item));
  }
  return out.finish();
}

Value indent(Heap& heap, const Str& s, const Str& by, IndentStyle style) {
  // jinja2 appends a newline first, so that a text ending in one has an empty last line.
  const Str newline{.text = "\n"};
  const Value lines = split_lines(heap, *heap.concat(s, newline).string, false);
  MarkedBuilder out(heap);
  bool first = true;
  for (const Value& line : lines.sequence->items) {
    if (!first) out.append(newline);
    if (first ? style.first : style.blank || !line.string->text.empty()) out.append(by);
    first = false;
    out.append(*line.string);
  }
  return out.finish();
}

Value escape_html(Heap& heap, const Str& s) {
  static constexpr std::string_view kFrom = "&<>'\"";
  static constexpr std::string_view kTo[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
  if (s.markup) return Value::of_string(&s);
  MarkedBuilder out(heap);
  size_t plain = 0;
  for (size_t at = 0; (at = s.text.find_first_of(kFrom, at)) != std::string_view::npos; ++at) {
    out.append(s, plain, at);
    out.append(kTo[kFrom.find(s.text[at])], s.any_untrusted());
    plain = at + 1;
    if (heap.exhausted()) break;
  }
  out.append(s, plain, s.text.size());
  return heap.markup(*out.finish().string);
}

Value justify(Heap& heap, const Str& s, int64_t width, const Str& fill, Side side) {
  const int64_t missing = width - heap.length(s);
  if (missing <= 0) return Value::of_string(&s);
  const int64_t bytes_each = static_cast<int64_t>(fill.text.size() + 1);
  int64_t bytes = 0;
  if (__builtin_mul_overflow(missing, bytes_each, &bytes) || !heap.try_bytes(bytes)) {
    heap.try_bytes(INT64_MAX);  // refused here, before anything is built
    return Value::of_string(&s);
  }
  int64_t left = side == Side::kRight ? missing : 0;
  // Python's center puts the odd one left only where the width is odd, too.
  if (side == Side::kBoth) left = missing / 2 + (missing & width & 1);
  MarkedBuilder out(heap);
  for (int64_t i = 0; i < left; ++i) out.append(fill);
  out.append(s);
  for (int64_t i = left; i < missing; ++i) out.append(fill);
  return out.finish();
}

}  // namespace minke::jinja
