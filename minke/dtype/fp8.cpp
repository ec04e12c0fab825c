// The formats of eight bits: f8_e4m3 and its scales f8_e8m0. See fp8.h.
#include "minke/dtype/fp8.h"

#include <array>

#include "minke/dtype/formats.h"

namespace minke {
namespace {

constexpr std::array<float, 256> kE4m3Values = [] {
  std::array<float, 256> values{};
  for (int bits = 0; bits < 256; ++bits) values[bits] = e4m3_to_f32(static_cast<uint8_t>(bits));
  return values;
}();

}  // namespace

void decode_f8_e4m3(const std::byte* blocks, int64_t num_blocks, float* out) {
  for (int64_t i = 0; i < num_blocks; ++i) out[i] = kE4m3Values[static_cast<uint8_t>(blocks[i])];
}

void encode_f8_e4m3(const float* values, int64_t num_blocks, std::byte* blocks) {
  for (int64_t i = 0; i < num_blocks; ++i) blocks[i] = std::byte{f32_to_e4m3(values[i])};
}

void decode_f8_e8m0(const std::byte* blocks, int64_t num_blocks, float* out) {
  for (int64_t i = 0; i < num_blocks; ++i) out[i] = e8m0_to_f32(static_cast<uint8_t>(blocks[i]));
}

}  // namespace minke
