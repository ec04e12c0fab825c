// q4_0 (GGUF): 32 elements in 18 bytes.
//
//   byte 0-1   d, f16
//   byte 2-17  q: byte 2+j holds element j in its low and element j+16 in its high nibble
//   value      d * (q - 8)
#include "minke/dtype/block_bytes.h"
#include "minke/dtype/block_format.h"

namespace minke {

void split_q4_0(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 0);
  split_nibbles(block + 2, 16, fields.q);
}

void join_q4_0(const BlockFields& fields, std::byte* block) {
  store_word(block, 0, fields.d);
  join_nibbles(fields.q, 16, block + 2);
}

}  // namespace minke
