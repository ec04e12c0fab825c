#pragma once
#include <cstddef>
#include <cstdint>

#include "minke/dtype/block_format.h"

namespace minke {

/// The decoders and encoders that dtypes.def names; see DTypeInfo for their contract. Other folders
/// go through dtype_info().
void decode_f32(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_f32(const float* values, int64_t num_blocks, std::byte* blocks);
void decode_f16(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_f16(const float* values, int64_t num_blocks, std::byte* blocks);
void decode_bf16(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_bf16(const float* values, int64_t num_blocks, std::byte* blocks);
void decode_f8_e4m3(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_f8_e4m3(const float* values, int64_t num_blocks, std::byte* blocks);
void decode_f8_e8m0(const std::byte* blocks, int64_t num_blocks, float* out);

/// Those of a block format: decode_blocks() and encode_blocks() with its row.
template <DType kFormat>
void decode_as(const std::byte* blocks, int64_t num_blocks, float* out) {
  decode_blocks(block_format(kFormat), blocks, num_blocks, out);
}
/// See decode_as.
template <DType kFormat>
void encode_as(const float* values, int64_t num_blocks, std::byte* blocks) {
  encode_blocks(block_format(kFormat), values, nullptr, num_blocks, blocks);
}

}  // namespace minke
