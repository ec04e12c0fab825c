#include "minke/kernels/ref/decode.h"

#include <cstring>

#include "minke/base/check.h"
#include "minke/dtype/half.h"
#include "minke/kernels/packed.h"

namespace minke::kernels::ref {
namespace {

template <class Stored>
Stored load(const std::byte* data, int64_t index) {
  Stored value;
  std::memcpy(&value, data + index * static_cast<int64_t>(sizeof(Stored)), sizeof(Stored));
  return value;
}

// panel[k][row], one number after the other.
template <class T>
void decode_plain(const std::byte* panel, DType dtype, int64_t k_begin, int64_t k_end, T* out) {
  const int64_t begin = k_begin * kPanelRows;
  const int64_t count = (k_end - k_begin) * kPanelRows;
  for (int64_t i = 0; i < count; ++i) {
    switch (dtype) {
      case DType::kF64:
        out[i] = static_cast<T>(load<double>(panel, begin + i));
        break;
      case DType::kF32:
        out[i] = static_cast<T>(load<float>(panel, begin + i));
        break;
      case DType::kF16:
        out[i] = f16_to_f32(load<uint16_t>(panel, begin + i));
        break;
      default:
        out[i] = bf16_to_f32(load<uint16_t>(panel, begin + i));
        break;
    }
  }
}

// One block of 32 inputs: element = d * q + m, with q unsigned (see panel.h).
template <class T>
void decode_block(const std::byte* block, DType dtype, T* out) {
  const bool has_min = dtype == DType::kQ4_1;
  const float bias = dtype == DType::kQ4_0 ? -8.0f : -128.0f;
  const std::byte* quants = block + (has_min ? 64 : 32);
  for (int row = 0; row < kPanelRows; ++row) {
    const float d = f16_to_f32(load<uint16_t>(block, row));
    const float m = has_min ? f16_to_f32(load<uint16_t>(block, kPanelRows + row)) : bias * d;
    for (int k = 0; k < kBlockCols; ++k) {
      int q;
      if (dtype == DType::kQ8_0) {
        q = static_cast<int>(quants[k / 4 * 64 + row * 4 + k % 4]);
      } else {
        const int byte = static_cast<int>(quants[k / 8 * 64 + row * 4 + k % 4]);
        q = k % 8 < 4 ? byte & 15 : byte >> 4;
      }
      out[k * kPanelRows + row] = d * static_cast<float>(q) + m;
    }
  }
}

}  // namespace

template <class T>
void decode_tile(const PackedView& matrix, int64_t panel, int64_t k_begin, int64_t k_end, T* out) {
  MK_DCHECK(panel >= 0 && panel < matrix.num_panels() && k_begin % kBlockCols == 0 &&
                k_end <= matrix.cols,
            "decode_tile: panel {}, inputs {}..{} of [{}, {}]", panel, k_begin, k_end, matrix.rows,
            matrix.cols);
  const int64_t panel_bytes = packed_panel_bytes(matrix.dtype, matrix.cols);
  const std::byte* data = matrix.data + panel * panel_bytes;
  if (!is_block_quantized(matrix.dtype))
    return decode_plain(data, matrix.dtype, k_begin, k_end, out);
  const int64_t block_bytes = panel_bytes / (matrix.cols / kBlockCols);
  for (int64_t k = k_begin; k < k_end; k += kBlockCols) {
    decode_block(data + k / kBlockCols * block_bytes, matrix.dtype,
                 out + (k - k_begin) * kPanelRows);
  }
}

template void decode_tile<float>(const PackedView&, int64_t, int64_t, int64_t, float*);
template void decode_tile<double>(const PackedView&, int64_t, int64_t, int64_t, double*);

}  // namespace minke::kernels::ref
