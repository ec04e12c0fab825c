#include "minke/format/weight_file.h"

namespace minke {
namespace {

float scale_at(const BlockScales& scales, int64_t index) {
  const DTypeInfo& format = dtype_info(scales.dtype);
  float scale = 0.0f;
  format.decode(scales.bytes.data() + index * format.block_bytes, 1, &scale);
  return scale;
}

}  // namespace

void decode_rows(const WeightInfo& matrix, int64_t first, int64_t count, float* out) {
  const DTypeInfo& format = dtype_info(matrix.dtype);
  const int64_t cols = matrix.shape.back();
  const int64_t row_bytes = dtype_bytes(matrix.dtype, cols);
  format.decode(matrix.bytes.data() + first * row_bytes, count * cols / format.block_size, out);
  const BlockScales& scales = matrix.scales;
  if (scales.bytes.empty()) return;
  const int64_t blocks_of_row = (cols + scales.block_cols - 1) / scales.block_cols;
  for (int64_t row = first; row < first + count; ++row) {
    int64_t index = row / scales.block_rows * blocks_of_row;
    for (int64_t begin = 0; begin < cols; begin += scales.block_cols) {
      const float scale = scale_at(scales, index++);
      const int64_t end = std::min(cols, begin + scales.block_cols);
      for (int64_t col = begin; col < end; ++col) out[col] *= scale;
    }
    out += cols;
  }
}

}  // namespace minke
