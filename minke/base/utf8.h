#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace minke {

/// One step through UTF-8 text.
struct Utf8Char {
  uint32_t code_point = 0xFFFD;  ///< U+FFFD where the bytes are not valid UTF-8
  int bytes = 1;  ///< how far to step; for invalid bytes the maximal bad prefix, >= 1
  bool valid = false;
  bool truncated = false;  ///< the text ends inside what could still become a valid character
};

/// Decodes the first character of `text`, which must not be empty (RFC 3629: no surrogates, no
/// overlong forms, at most U+10FFFF; invalid bytes are grouped as the Unicode standard's
/// "maximal subpart" practice says, as Python's errors="replace" does).
Utf8Char utf8_next(std::string_view text);

/// Appends the UTF-8 bytes of `code_point` (at most U+10FFFF).
void utf8_append(std::string& out, uint32_t code_point);

/// For messages: 'x' for a printable ASCII character, else "byte 0xf1".
std::string byte_name(char byte);

/// A name out of a hostile file, fit for an error message: printable ASCII and not long.
std::string printable_name(std::string_view text);

}  // namespace minke
