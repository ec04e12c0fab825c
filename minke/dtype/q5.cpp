// q5_0 and q5_1 (GGUF): 32 elements in 22 and 24 bytes.
//
//   q5_0         q5_1
//   byte 0-1     0-1    d, f16
//                2-3    m, f16
//   byte 2-5     4-7    bit j of this little-endian word is bit 4 of element j's q
//   byte 6-21    8-23   byte j: low four bits of element j (low nibble) and of j+16 (high nibble)
//   value        d * (q - 16) and d * q + m
#include "minke/dtype/block_bytes.h"
#include "minke/dtype/block_format.h"

namespace minke {
namespace {

void split_quants(const std::byte* bytes, uint8_t* q) {
  const auto high = load_word<uint32_t>(bytes, 0);
  split_nibbles(bytes + 4, 16, q);
  for (int j = 0; j < 32; ++j) q[j] |= (high >> j & 1) << 4;
}

void join_quants(const uint8_t* q, std::byte* bytes) {
  uint32_t high = 0;
  for (int j = 0; j < 32; ++j) high |= uint32_t{q[j]} >> 4 << j;
  store_word(bytes, 0, high);
  join_nibbles(q, 16, bytes + 4);
}

}  // namespace

void split_q5_0(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 0);
  split_quants(block + 2, fields.q);
}

void join_q5_0(const BlockFields& fields, std::byte* block) {
  store_word(block, 0, fields.d);
  join_quants(fields.q, block + 2);
}

void split_q5_1(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 0);
  fields.m = load_word<uint16_t>(block, 2);
  split_quants(block + 4, fields.q);
}

void join_q5_1(const BlockFields& fields, std::byte* block) {
  store_word(block, 0, fields.d);
  store_word(block, 2, fields.m);
  join_quants(fields.q, block + 4);
}

}  // namespace minke
