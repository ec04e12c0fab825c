// q3_k (GGUF): 256 elements in 110 bytes, groups of 16.
//
//   byte 0-31     bit p of byte i is bit 2 of element 32 p + i                       (p = 0..7)
//   byte 32-95    bits 0 and 1, as q2_k has its q
//   byte 96-107   scales of six bits; byte 96 + g: the low four of group g (low nibble) and of
//                 g + 8 (high nibble), g = 0..7; byte 104 + g: the high two of groups g, g + 4,
//                 g + 8, g + 12, from bit 0 on, g = 0..3
//   byte 108-109  d, f16
//   value         d * (scale - 32) * (q - 4)
#include "minke/dtype/block_bytes.h"
#include "minke/dtype/block_format.h"

namespace minke {

void split_q3_k(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 108);
  split_nibbles(block + 96, 8, fields.scale);
  for (int g = 0; g < 16; ++g) {
    fields.scale[g] |= (byte_at(block, 104 + g % 4) >> (g / 4 * 2) & 3) << 4;
  }
  split_pairs(block + 32, fields.q);
  split_bit_plane(block, 2, fields.q);
}

void join_q3_k(const BlockFields& fields, std::byte* block) {
  join_bit_plane(fields.q, 2, block);
  join_pairs(fields.q, block + 32);
  join_nibbles(fields.scale, 8, block + 96);
  uint8_t high_scales[4] = {};
  for (int g = 0; g < 16; ++g) high_scales[g % 4] |= (fields.scale[g] >> 4) << (g / 4 * 2);
  std::memcpy(block + 104, high_scales, 4);
  store_word(block, 108, fields.d);
}

}  // namespace minke
