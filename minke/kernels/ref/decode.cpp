#include "minke/kernels/ref/decode.h"

#include <cstring>

#include "minke/base/check.h"
#include "minke/dtype/half.h"
#include "minke/kernels/packed.h"
#include "minke/kernels/panel_block.h"

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

}  // namespace

template <class T>
void decode_tile(const PackedView& matrix, int64_t panel, int64_t k_begin, int64_t k_end, T* out) {
  MK_DCHECK(panel >= 0 && panel < matrix.num_panels() && k_begin % kBlockCols == 0 &&
                k_end <= matrix.cols,
            "decode_tile: panel {}, inputs {}..{} of [{}, {}]", panel, k_begin, k_end, matrix.rows,
            matrix.cols);
  if (!is_block_quantized(matrix.dtype)) {
    const int64_t panel_bytes = packed_panel_bytes(matrix.dtype, matrix.cols);
    return decode_plain(matrix.data + panel * panel_bytes, matrix.dtype, k_begin, k_end, out);
  }
  for (int64_t k = k_begin; k < k_end; k += kBlockCols, out += kBlockCols * kPanelRows) {
    for (int row = 0; row < kPanelRows; ++row) {
      float values[kBlockCols];
      read_row_block(matrix, panel * kPanelRows + row, k / kBlockCols).decode(values);
      for (int i = 0; i < kBlockCols; ++i) out[i * kPanelRows + row] = values[i];
    }
  }
}

template void decode_tile<float>(const PackedView&, int64_t, int64_t, int64_t, float*);
template void decode_tile<double>(const PackedView&, int64_t, int64_t, int64_t, double*);

}  // namespace minke::kernels::ref
