// q4_k and q5_k (GGUF): 256 elements in 144 and 176 bytes, groups of 32.
//
//   byte 0-1    d, f16
//   byte 2-3    m, f16
//   byte 4-15   scales and mins of six bits: of group g = 0..3 the low six bits of byte 4 + g
//               and 8 + g; of group 4 + g the low four in the nibbles (scale low, min high) of byte
//               12 + g, the high two in bits 6 and 7 of byte 4 + g and 8 + g
//   q5_k: 32 bytes more here: bit p of byte i is bit 4 of element 32 p + i       (p = 0..7)
//   128 bytes   low four bits: byte 32 h + i holds element 64 h + i in its low and 64 h + 32 + i in
//               its high nibble                                                  (h = 0..3)
//   value       d * scale * q - m * min
#include "minke/dtype/block_bytes.h"
#include "minke/dtype/block_format.h"

namespace minke {
namespace {

void split_header(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 0);
  fields.m = load_word<uint16_t>(block, 2);
  for (int g = 0; g < 4; ++g) {
    const int scale = byte_at(block, 4 + g), min = byte_at(block, 8 + g);
    const int low = byte_at(block, 12 + g);
    fields.scale[g] = scale & 63;
    fields.min[g] = min & 63;
    fields.scale[4 + g] = (low & 15) | (scale >> 6) << 4;
    fields.min[4 + g] = low >> 4 | (min >> 6) << 4;
  }
}

void join_header(const BlockFields& fields, std::byte* block) {
  store_word(block, 0, fields.d);
  store_word(block, 2, fields.m);
  for (int g = 0; g < 4; ++g) {
    const int scale = fields.scale[4 + g], min = fields.min[4 + g];
    block[4 + g] = static_cast<std::byte>(fields.scale[g] | scale >> 4 << 6);
    block[8 + g] = static_cast<std::byte>(fields.min[g] | min >> 4 << 6);
    block[12 + g] = static_cast<std::byte>((scale & 15) | (min & 15) << 4);
  }
}

void split_low_bits(const std::byte* bytes, uint8_t* q) {
  for (int h = 0; h < 4; ++h) split_nibbles(bytes + 32 * h, 32, q + 64 * h);
}

void join_low_bits(const uint8_t* q, std::byte* bytes) {
  for (int h = 0; h < 4; ++h) join_nibbles(q + 64 * h, 32, bytes + 32 * h);
}

}  // namespace

void split_q4_k(const std::byte* block, BlockFields& fields) {
  split_header(block, fields);
  split_low_bits(block + 16, fields.q);
}

void join_q4_k(const BlockFields& fields, std::byte* block) {
  join_header(fields, block);
  join_low_bits(fields.q, block + 16);
}

void split_q5_k(const std::byte* block, BlockFields& fields) {
  split_header(block, fields);
  split_low_bits(block + 48, fields.q);
  split_bit_plane(block + 16, 4, fields.q);
}

void join_q5_k(const BlockFields& fields, std::byte* block) {
  join_header(fields, block);
  join_bit_plane(fields.q, 4, block + 16);
  join_low_bits(fields.q, block + 48);
}

}  // namespace minke
