#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "minke/base/utf8.h"

namespace minke {

/// GPT-2's alphabet, in which vocabularies of byte-level BPE write bytes as printable characters:
/// the printable bytes of Latin-1 (33-126, 161-172, 174-255) stand for themselves, the other 68, in
/// ascending order, are U+0100, U+0101, ... The entry of a code point is its byte, or -1.
inline constexpr auto kByteOfCodePoint = [] {
  std::array<int16_t, 0x144> table{};
  table.fill(-1);
  int next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    table[static_cast<size_t>(printable ? byte : next++)] = static_cast<int16_t>(byte);
  }
  return table;
}();

/// The letter of each byte.
inline constexpr auto kCodePointOfByte = [] {
  std::array<uint16_t, 256> table{};
  for (size_t code_point = 0; code_point < kByteOfCodePoint.size(); ++code_point) {
    const int byte = kByteOfCodePoint[code_point];
    if (byte >= 0) table[static_cast<size_t>(byte)] = static_cast<uint16_t>(code_point);
  }
  return table;
}();

/// Bytes as GPT-2's alphabet writes them.
inline std::string in_byte_alphabet(std::string_view bytes) {
  std::string out;
  for (const char byte : bytes) utf8_append(out, kCodePointOfByte[static_cast<uint8_t>(byte)]);
  return out;
}

/// Appends the bytes that `text`, written in GPT-2's alphabet, stands for. False, with `out` as it
/// was, when a character is none of the alphabet.
inline bool append_bytes_of_alphabet(std::string& out, std::string_view text) {
  const size_t size_before = out.size();
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t code_point = static_cast<uint8_t>(text[i]);
    if (code_point >= 0x80) {  // All of the alphabet lies below U+0800: two bytes at most.
      const bool two_bytes = (code_point & 0xE0) == 0xC0 && i + 1 < text.size() &&
                             (static_cast<uint8_t>(text[i + 1]) & 0xC0) == 0x80;
      code_point =
          two_bytes ? (code_point & 0x1F) << 6 | (static_cast<uint8_t>(text[++i]) & 0x3F) : 0xFFFF;
    }
    if (code_point >= kByteOfCodePoint.size() || kByteOfCodePoint[code_point] < 0) {
      out.resize(size_before);
      return false;
    }
    out += static_cast<char>(kByteOfCodePoint[code_point]);
  }
  return true;
}

}  // namespace minke
