// iq4_nl and iq4_xs (GGUF): indices of four bits into kIq4Values. Read only: choosing them well
// needs to know which weights matter.
//
//   iq4_nl   32 elements in 18 bytes
//   byte 0-1    d, f16
//   byte 2-17   byte 2+j holds element j in its low and element j+16 in its high nibble
//   value       d * kIq4Values[q]
//
//   iq4_xs   256 elements in 136 bytes, groups of 32
//   byte 0-1    d, f16
//   byte 2-3    high two bits of the groups' scales, group g at bits 2g, 2g+1
//   byte 4-7    low four bits of the scales of groups 2b (low nibble) and 2b+1 of byte 4+b
//   byte 8-135  of each group 16 bytes like iq4_nl's
//   value       d * (scale - 32) * kIq4Values[q]
#include "minke/dtype/block_bytes.h"
#include "minke/dtype/block_format.h"

namespace minke {

void split_iq4_nl(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 0);
  split_nibbles(block + 2, 16, fields.q);
}

void split_iq4_xs(const std::byte* block, BlockFields& fields) {
  fields.d = load_word<uint16_t>(block, 0);
  const unsigned high = load_word<uint16_t>(block, 2);
  for (int g = 0; g < 8; ++g) {
    fields.scale[g] = (byte_at(block, 4 + g / 2) >> (g % 2 * 4) & 15) | (high >> (2 * g) & 3) << 4;
    split_nibbles(block + 8 + 16 * g, 16, fields.q + 32 * g);
  }
}

}  // namespace minke
