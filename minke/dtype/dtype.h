#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace minke {

/// The number formats. dtypes.def is the table: adding one is a file in this folder and a row
/// there.
enum class DType : uint8_t {
#define MK_DTYPE(id, name, gguf_type, block, bytes, decode, encode) id,
#include "minke/dtype/dtypes.def"
#undef MK_DTYPE
};

/// What a format is. A block holds `block_size` consecutive elements of a row in `block_bytes`
/// bytes.
struct DTypeInfo {
  DType dtype;
  std::string_view name;  ///< as on the command line and in reports: "f32", "q4_1"
  int gguf_type;          ///< ggml's type number, -1 if GGUF has none
  int block_size;
  int block_bytes;
  /// Decodes `num_blocks` blocks to block_size floats each. Null for f64 and the integers.
  void (*decode)(const std::byte* blocks, int64_t num_blocks, float* out);
  /// Encodes num_blocks * block_size floats, rounding to nearest. Null where minke does not encode.
  void (*encode)(const float* values, int64_t num_blocks, std::byte* blocks);
};

/// The row of the table. Never fails: every DType has one.
const DTypeInfo& dtype_info(DType dtype);

/// The format with ggml's type number, if minke has it.
std::optional<DType> dtype_from_gguf(uint32_t gguf_type);

/// Bytes of `num_elements` in this format; num_elements must be a multiple of the block size.
inline int64_t dtype_bytes(DType dtype, int64_t num_elements) {
  const DTypeInfo& info = dtype_info(dtype);
  return num_elements / info.block_size * info.block_bytes;
}

/// True for formats in which blocks of elements share scales (rows of block_format.h).
inline bool is_block_quantized(DType dtype) { return dtype_info(dtype).block_size > 1; }

}  // namespace minke
