// The formats without blocks: f32, f16, bf16.
#include <cstring>

#include "minke/dtype/formats.h"
#include "minke/dtype/half.h"

namespace minke {

void decode_f32(const std::byte* blocks, int64_t num_blocks, float* out) {
  std::memcpy(out, blocks, static_cast<size_t>(num_blocks) * sizeof(float));
}

void encode_f32(const float* values, int64_t num_blocks, std::byte* blocks) {
  std::memcpy(blocks, values, static_cast<size_t>(num_blocks) * sizeof(float));
}

void decode_f16(const std::byte* blocks, int64_t num_blocks, float* out) {
  for (int64_t i = 0; i < num_blocks; ++i) {
    uint16_t bits;
    std::memcpy(&bits, blocks + 2 * i, 2);
    out[i] = f16_to_f32(bits);
  }
}

void encode_f16(const float* values, int64_t num_blocks, std::byte* blocks) {
  for (int64_t i = 0; i < num_blocks; ++i) {
    const uint16_t bits = f32_to_f16(values[i]);
    std::memcpy(blocks + 2 * i, &bits, 2);
  }
}

void decode_bf16(const std::byte* blocks, int64_t num_blocks, float* out) {
  for (int64_t i = 0; i < num_blocks; ++i) {
    uint16_t bits;
    std::memcpy(&bits, blocks + 2 * i, 2);
    out[i] = bf16_to_f32(bits);
  }
}

void encode_bf16(const float* values, int64_t num_blocks, std::byte* blocks) {
  for (int64_t i = 0; i < num_blocks; ++i) {
    const uint16_t bits = f32_to_bf16(values[i]);
    std::memcpy(blocks + 2 * i, &bits, 2);
  }
}

}  // namespace minke
