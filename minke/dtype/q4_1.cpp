// q4_1 (GGUF): 32 elements in 20 bytes.
//
//   byte 0-1   d, f16
//   byte 2-3   m, f16
//   byte 4-19  quants: byte 4+j holds element j in its low and element j+16 in its high nibble
//   value      d * q + m
#include <algorithm>
#include <cmath>
#include <cstring>

#include "minke/dtype/formats.h"
#include "minke/dtype/half.h"

namespace minke {
namespace {
constexpr int kBlock = 32;
constexpr int kBytes = 20;
}  // namespace

void decode_q4_1(const std::byte* blocks, int64_t num_blocks, float* out) {
  for (int64_t b = 0; b < num_blocks; ++b, blocks += kBytes, out += kBlock) {
    uint16_t bits[2];
    std::memcpy(bits, blocks, 4);
    const float d = f16_to_f32(bits[0]);
    const float m = f16_to_f32(bits[1]);
    for (int j = 0; j < kBlock / 2; ++j) {
      const int q = static_cast<int>(blocks[4 + j]);
      // f16 times 4 bits is exact in f32, so there is one rounding with or without fma.
      out[j] = d * static_cast<float>(q & 15) + m;
      out[j + 16] = d * static_cast<float>(q >> 4) + m;
    }
  }
}

void encode_q4_1(const float* values, int64_t num_blocks, std::byte* blocks) {
  for (int64_t b = 0; b < num_blocks; ++b, blocks += kBytes, values += kBlock) {
    const auto [low, high] = std::minmax_element(values, values + kBlock);
    const uint16_t bits[2] = {f32_to_f16((*high - *low) / 15.0f), f32_to_f16(*low)};
    const float d = f16_to_f32(bits[0]);
    const float m = f16_to_f32(bits[1]);
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    std::memcpy(blocks, bits, 4);
    const auto quantize = [&](float x) {
      return std::clamp(static_cast<int>(std::lrintf((x - m) * inverse)), 0, 15);
    };
    for (int j = 0; j < kBlock / 2; ++j) {
      blocks[4 + j] = static_cast<std::byte>(quantize(values[j]) | quantize(values[j + 16]) << 4);
    }
  }
}

}  // namespace minke
