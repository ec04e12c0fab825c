// q2_k (GGUF): 256 elements in 84 bytes, groups of 16.
//
//   byte 0-15   group g's scale in the low, its min in the high nibble of byte g
//   byte 16-79  q: byte 16 + 32 h + i holds element 128 h + 32 p + i in bits 2p, 2p+1  (p = 0..3)
//   byte 80-81  d, f16
//   byte 82-83  m, f16
//   value       d * scale * q - m * min
#include "minke/dtype/block_bytes.h"
#include "minke/dtype/block_format.h"

namespace minke {

void split_q2_k(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 80);
  fields.m = load_word<uint16_t>(block, 82);
  for (int g = 0; g < 16; ++g) {
    fields.scale[g] = byte_at(block, g) & 15;
    fields.min[g] = byte_at(block, g) >> 4;
  }
  split_pairs(block + 16, fields.q);
}

void join_q2_k(const BlockFields& fields, std::byte* block) {
  for (int g = 0; g < 16; ++g) {
    block[g] = static_cast<std::byte>(fields.scale[g] | fields.min[g] << 4);
  }
  join_pairs(fields.q, block + 16);
  store_word(block, 80, fields.d);
  store_word(block, 82, fields.m);
}

}  // namespace minke
