#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

// Reading and writing the bytes of a block, for the files of the block formats.
namespace minke {

/// The byte at that offset.
inline uint8_t byte_at(const std::byte* block, int offset) {
  return static_cast<uint8_t>(block[offset]);
}

/// The little-endian number at that offset, aligned or not.
template <class Word>
Word load_word(const std::byte* block, int offset) {
  Word word;
  std::memcpy(&word, block + offset, sizeof word);
  return word;
}

/// Puts it there.
template <class Word>
void store_word(std::byte* block, int offset, Word word) {
  std::memcpy(block + offset, &word, sizeof word);
}

/// 2n numbers of four bits in n bytes: number j in the low half of byte j, n + j in its high half.
inline void split_nibbles(const std::byte* bytes, int n, uint8_t* numbers) {
  for (int j = 0; j < n; ++j) {
    numbers[j] = byte_at(bytes, j) & 15;
    numbers[n + j] = byte_at(bytes, j) >> 4;
  }
}

/// The inverse; takes the low four bits of the first n numbers.
inline void join_nibbles(const uint8_t* numbers, int n, std::byte* bytes) {
  for (int j = 0; j < n; ++j) {
    bytes[j] = static_cast<std::byte>((numbers[j] & 15) | numbers[n + j] << 4);
  }
}

/// 256 numbers of two bits in 64 bytes: byte 32 h + i holds number 128 h + 32 p + i in bits 2p and
/// 2p + 1, p = 0..3.
inline void split_pairs(const std::byte* bytes, uint8_t* numbers) {
  for (int h = 0; h < 2; ++h, bytes += 32) {
    for (int p = 0; p < 4; ++p, numbers += 32) {
      for (int i = 0; i < 32; ++i) numbers[i] = byte_at(bytes, i) >> (2 * p) & 3;
    }
  }
}

/// The inverse; takes the low two bits of each number.
inline void join_pairs(const uint8_t* numbers, std::byte* bytes) {
  std::memset(bytes, 0, 64);
  for (int h = 0; h < 2; ++h, bytes += 32) {
    for (int p = 0; p < 4; ++p, numbers += 32) {
      for (int i = 0; i < 32; ++i) bytes[i] |= static_cast<std::byte>((numbers[i] & 3) << (2 * p));
    }
  }
}

/// Sets bit `bit` of 256 numbers from 32 bytes: bit p of byte i is for number 32 p + i.
inline void split_bit_plane(const std::byte* bytes, int bit, uint8_t* numbers) {
  for (int p = 0; p < 8; ++p, numbers += 32) {
    for (int i = 0; i < 32; ++i) {
      numbers[i] = static_cast<uint8_t>(numbers[i] | (byte_at(bytes, i) >> p & 1) << bit);
    }
  }
}

/// The inverse; takes the numbers' bit `bit`.
inline void join_bit_plane(const uint8_t* numbers, int bit, std::byte* bytes) {
  std::memset(bytes, 0, 32);
  for (int p = 0; p < 8; ++p, numbers += 32) {
    for (int i = 0; i < 32; ++i) bytes[i] |= static_cast<std::byte>((numbers[i] >> bit & 1) << p);
  }
}

}  // namespace minke
