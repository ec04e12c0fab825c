#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace minke {

/// Classes of characters that the regular expressions of tokenizers know, one bit each. A character
/// has one of them, but \r and \n are kSpace and kNewline.
namespace char_class {
inline constexpr uint8_t kLetter = 1;       ///< \p{L}
inline constexpr uint8_t kMark = 2;         ///< \p{M}
inline constexpr uint8_t kNumber = 4;       ///< \p{N}
inline constexpr uint8_t kPunctuation = 8;  ///< \p{P}
inline constexpr uint8_t kSymbol = 16;      ///< \p{S}
inline constexpr uint8_t kSpace = 32;       ///< \s
inline constexpr uint8_t kNewline = 64;     ///< [\r\n]
inline constexpr uint8_t kOther = 128;      ///< the rest, and bytes that are not UTF-8
}  // namespace char_class

/// One character of a text, as the splitting steps see it.
struct TextChar {
  uint8_t kind = char_class::kOther;
  uint8_t bytes = 1;  ///< how far to step
  uint32_t code_point = 0xFFFD;
};

namespace char_class {

/// The class of a byte below 0x80.
constexpr uint8_t of_ascii(unsigned char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return kLetter;
  if (c >= '0' && c <= '9') return kNumber;
  if (c == '\r' || c == '\n') return kSpace | kNewline;
  if (c == ' ' || (c >= '\t' && c <= '\r')) return kSpace;
  if (c < 0x20 || c == 0x7F) return kOther;
  for (const char symbol : {'$', '+', '<', '=', '>', '^', '`', '|', '~'}) {
    if (c == symbol) return kSymbol;
  }
  return kPunctuation;
}

inline constexpr auto kOfAscii = [] {
  std::array<uint8_t, 128> table{};
  for (size_t c = 0; c < table.size(); ++c) table[c] = of_ascii(static_cast<unsigned char>(c));
  return table;
}();

}  // namespace char_class

/// The character at `at`, which is not ASCII.
TextChar wide_char_at(std::string_view text, size_t at);

/// The character at `at`, which must be before the end.
inline TextChar char_at(std::string_view text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return {char_class::kOfAscii[first], 1, first};
  return wide_char_at(text, at);
}

/// The end of the run of characters that have a class of `mask`, from `at` on (may be empty).
inline size_t run_end(std::string_view text, size_t at, uint8_t mask) {
  while (at < text.size()) {
    const TextChar c = char_at(text, at);
    if ((c.kind & mask) == 0) break;
    at += c.bytes;
  }
  return at;
}

}  // namespace minke
