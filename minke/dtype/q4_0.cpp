// q4_0 (GGUF): 32 elements in 18 bytes.
//
//   byte 0-1   d, f16
//   byte 2-17  quants: byte 2+j holds element j in its low and element j+16 in its high nibble
//   value      d * (q - 8)
#include <algorithm>
#include <cmath>
#include <cstring>

#include "minke/dtype/formats.h"
#include "minke/dtype/half.h"

namespace minke {
namespace {
constexpr int kBlock = 32;
constexpr int kBytes = 18;
}  // namespace

void decode_q4_0(const std::byte* blocks, int64_t num_blocks, float* out) {
  for (int64_t b = 0; b < num_blocks; ++b, blocks += kBytes, out += kBlock) {
    uint16_t bits;
    std::memcpy(&bits, blocks, 2);
    const float d = f16_to_f32(bits);
    for (int j = 0; j < kBlock / 2; ++j) {
      const int q = static_cast<int>(blocks[2 + j]);
      out[j] = d * static_cast<float>((q & 15) - 8);
      out[j + 16] = d * static_cast<float>((q >> 4) - 8);
    }
  }
}

void encode_q4_0(const float* values, int64_t num_blocks, std::byte* blocks) {
  for (int64_t b = 0; b < num_blocks; ++b, blocks += kBytes, values += kBlock) {
    // The value of the largest magnitude maps to -8, which uses the range's longer side.
    const float extreme = *std::max_element(
        values, values + kBlock, [](float x, float y) { return std::fabs(x) < std::fabs(y); });
    const uint16_t bits = f32_to_f16(extreme / -8.0f);
    const float d = f16_to_f32(bits);
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    std::memcpy(blocks, &bits, 2);
    const auto quantize = [&](float x) {
      return std::clamp(static_cast<int>(std::lrintf(x * inverse)) + 8, 0, 15);
    };
    for (int j = 0; j < kBlock / 2; ++j) {
      blocks[2 + j] = static_cast<std::byte>(quantize(values[j]) | quantize(values[j + 16]) << 4);
    }
  }
}

}  // namespace minke
