// q4_1 (GGUF): 32 elements in 20 bytes.
//
//   byte 0-1   d, f16
//   byte 2-3   m, f16
//   byte 4-19  q: byte 4+j holds element j in its low and element j+16 in its high nibble
//   value      d * q + m
#include "minke/dtype/block_bytes.h"
#include "minke/dtype/block_format.h"

namespace minke {

void split_q4_1(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 0);
  fields.m = load_word<uint16_t>(block, 2);
  split_nibbles(block + 4, 16, fields.q);
}

void join_q4_1(const BlockFields& fields, std::byte* block) {
  store_word(block, 0, fields.d);
  store_word(block, 2, fields.m);
  join_nibbles(fields.q, 16, block + 4);
}

}  // namespace minke
