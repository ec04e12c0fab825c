// q6_k (GGUF): 256 elements in 210 bytes, groups of 16.
//
//   byte 0-127    low four bits: byte 64 h + i holds element 128 h + i in its low and 128 h + 64 +
//   i
//                 in its high nibble                                    (h = 0, 1; i = 0..63)
//   byte 128-191  high two bits, as q2_k has its q
//   byte 192-207  the groups' scales, int8, which is scale - 128
//   byte 208-209  d, f16
//   value         d * (scale - 128) * (q - 32)
#include "minke/dtype/block_bytes.h"
#include "minke/dtype/block_format.h"

namespace minke {

void split_q6_k(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 208);
  for (int g = 0; g < 16; ++g) fields.scale[g] = byte_at(block, 192 + g) ^ 0x80;
  uint8_t high[256];
  split_pairs(block + 128, high);
  for (int h = 0; h < 2; ++h) split_nibbles(block + 64 * h, 64, fields.q + 128 * h);
  for (int j = 0; j < 256; ++j) fields.q[j] |= high[j] << 4;
}

void join_q6_k(const BlockFields& fields, std::byte* block) {
  uint8_t high[256];
  for (int j = 0; j < 256; ++j) high[j] = fields.q[j] >> 4;
  for (int h = 0; h < 2; ++h) join_nibbles(fields.q + 128 * h, 64, block + 64 * h);
  join_pairs(high, block + 128);
  for (int g = 0; g < 16; ++g) block[192 + g] = static_cast<std::byte>(fields.scale[g] ^ 0x80);
  store_word(block, 208, fields.d);
}

}  // namespace minke
