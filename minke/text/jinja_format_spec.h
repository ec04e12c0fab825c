#pragma once
#include <string>
#include <string_view>

#include "minke/base/result.h"
#include "minke/text/jinja_value.h"

/// What % formats and str.format share: the layout of one value.
namespace minke::jinja {

/// Widths and precisions above this are refused.
inline constexpr int64_t kFormatWidthMax = 10'000;

/// Python's format specification: [[fill]align][sign][#][0][width][,][.precision][type].
struct FormatSpec {
  std::string fill = " ";
  bool untrusted_fill = false;  ///< the specification came from outside, and with it the fill
  char align = 0;               ///< < > ^ = or 0 for the type's default
  char sign = '-';
  bool alternate = false;
  bool zero_fill = false;  ///< a width that starts with 0: zeros after the sign of a number
  char separator = 0;      ///< between thousands: , or _
  int64_t width = 0;
  int64_t precision = -1;  ///< -1: the type's default
  char type = 0;           ///< the conversion's letter, 0 for none
};

/// The Error of a format that Python would refuse, too.
tl::unexpected<Error> bad_format(std::string_view what);

/// Reads digits at the front of `text`; false when the number is over kFormatWidthMax.
bool take_number(std::string_view& text, int64_t& number);

/// True for the types that format a float.
bool is_float_type(char type);
/// True for the types that format an integer.
bool is_int_type(char type);

/// Appends a string, cut to the precision and padded to the width.
void append_text(Heap& heap, MarkedBuilder& out, const Value& text, const FormatSpec& spec,
                 char default_align);

/// Appends the character with that number, in the manner of %c.
Result<void> append_character(Heap& heap, MarkedBuilder& out, const Value& value,
                              const FormatSpec& spec, char default_align);

/// `s` with \x, \u and \U escapes for all but ASCII: what Python's ascii() makes of a repr.
Value escape_non_ascii(Heap& heap, const Str& s);

/// Appends a number, which must be one, as the type says.
void append_numeric(MarkedBuilder& out, const Value& value, const FormatSpec& spec);

}  // namespace minke::jinja
