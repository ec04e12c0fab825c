#pragma once
#include "minke/base/result.h"
#include "minke/text/jinja_value.h"

/// Text operations that filters and string methods share. All carry the marks of their input on.
namespace minke::jinja {

/// Which ends of a string are meant.
enum class Side : uint8_t { kBoth, kLeft, kRight };

/// Python's strip: white space when `chars` is missing or None, else the characters in it.
Result<Value> strip(Heap& heap, const Str& s, const Value& chars, Side side);

/// Python's upper, lower, title, capitalize and swapcase.
enum class CaseChange : uint8_t { kUpper, kLower, kCapitalize, kTitle, kSwap };

/// Python's upper, lower, capitalize, title, swapcase, with Unicode's simple mappings.
Value change_case(Heap& heap, const Str& s, CaseChange change);
/// jinja2's title filter: a word starts after space, '-' or an opening bracket.
Value title_words(Heap& heap, const Str& s);

/// Python's replace; count < 0 replaces all.
Value replace(Heap& heap, const Str& s, const Str& old, const Str& by, int64_t count);

/// Python's split and rsplit: at white space when `separator` is null. Error: empty separator.
Result<Value> split(Heap& heap, const Str& s, const Str* separator, int64_t count_max,
                    bool from_right);
Value split_lines(Heap& heap, const Str& s, bool keep_ends);

/// The strings of `items`, which must all be strings unless `convert`, with `separator` between.
Result<Value> join(Heap& heap, const std::vector<Value>& items, const Str& separator, bool convert);

/// `s` with every line but the first (and, unless `blank`, empty ones) indented.
struct IndentStyle {
  bool first = false;
  bool blank = false;
};
Value indent(Heap& heap, const Str& s, const Str& by, IndentStyle style);

/// `s` as markup, with the five characters of HTML escaped unless it is markup already.
Value escape_html(Heap& heap, const Str& s);

/// Pads with `fill` to `width` characters: kLeft justifies left, kRight right, kBoth centers.
Value justify(Heap& heap, const Str& s, int64_t width, const Str& fill, Side side);

}  // namespace minke::jinja
