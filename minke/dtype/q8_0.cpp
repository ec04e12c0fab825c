// q8_0 (GGUF): 32 elements in 34 bytes.
//
//   byte 0-1   d, f16
//   byte 2-33  quants, int8
//   value      d * q
#include <algorithm>
#include <cmath>
#include <cstring>

#include "minke/dtype/formats.h"
#include "minke/dtype/half.h"

namespace minke {
namespace {
constexpr int kBlock = 32;
constexpr int kBytes = 34;
}  // namespace

void decode_q8_0(const std::byte* blocks, int64_t num_blocks, float* out) {
  for (int64_t b = 0; b < num_blocks; ++b, blocks += kBytes, out += kBlock) {
    uint16_t bits;
    std::memcpy(&bits, blocks, 2);
    const float d = f16_to_f32(bits);
    for (int j = 0; j < kBlock; ++j) {
      out[j] = d * static_cast<float>(static_cast<int8_t>(blocks[2 + j]));
    }
  }
}

void encode_q8_0(const float* values, int64_t num_blocks, std::byte* blocks) {
  for (int64_t b = 0; b < num_blocks; ++b, blocks += kBytes, values += kBlock) {
    float magnitude = 0.0f;
    for (int j = 0; j < kBlock; ++j) magnitude = std::max(magnitude, std::fabs(values[j]));
    const uint16_t bits = f32_to_f16(magnitude / 127.0f);
    const float d = f16_to_f32(bits);
    const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    std::memcpy(blocks, &bits, 2);
    for (int j = 0; j < kBlock; ++j) {
      const int q = std::clamp(static_cast<int>(std::lrintf(values[j] * inverse)), -127, 127);
      blocks[2 + j] = static_cast<std::byte>(q);
    }
  }
}

}  // namespace minke
