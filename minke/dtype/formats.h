#pragma once
#include <cstddef>
#include <cstdint>

namespace minke {

/// The decoders and encoders that dtypes.def names; see DTypeInfo for their contract. Other folders
/// go through dtype_info().
void decode_f32(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_f32(const float* values, int64_t num_blocks, std::byte* blocks);
void decode_f16(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_f16(const float* values, int64_t num_blocks, std::byte* blocks);
void decode_bf16(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_bf16(const float* values, int64_t num_blocks, std::byte* blocks);
void decode_q4_0(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_q4_0(const float* values, int64_t num_blocks, std::byte* blocks);
void decode_q4_1(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_q4_1(const float* values, int64_t num_blocks, std::byte* blocks);
void decode_q8_0(const std::byte* blocks, int64_t num_blocks, float* out);
void encode_q8_0(const float* values, int64_t num_blocks, std::byte* blocks);

}  // namespace minke
