// q8_0 (GGUF): 32 elements in 34 bytes.
//
//   byte 0-1   d, f16
//   byte 2-33  int8, which is q - 128
//   value      d * (q - 128)
#include "minke/dtype/block_bytes.h"
#include "minke/dtype/block_format.h"

namespace minke {

void split_q8_0(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 0);
  for (int j = 0; j < 32; ++j) fields.q[j] = byte_at(block, 2 + j) ^ 0x80;
}

void join_q8_0(const BlockFields& fields, std::byte* block) {
  store_word(block, 0, fields.d);
  for (int j = 0; j < 32; ++j) block[2 + j] = static_cast<std::byte>(fields.q[j] ^ 0x80);
}

}  // namespace minke
