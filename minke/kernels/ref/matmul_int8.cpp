#include <algorithm>
#include <cmath>
#include <cstring>

#include "minke/base/check.h"
#include "minke/dtype/half.h"
#include "minke/kernels/packed.h"
#include "minke/kernels/ref/ref.h"

namespace minke::kernels::ref {
namespace {

// Below this a block is taken as zero: 127 / max must stay finite (127 / 2^-100 < 2^107).
constexpr float kLeastMax = 0x1.0p-100f;

//   //   step = max|x| / 127,  q = round(x * (127 / max|x|)), halves to even;       scale = step
//   15 bits: q_low = round((x - step q) * (128 * 127 / max|x|)),               scale = step / 128
void quantize_block(const float* x, int8_t* q, int8_t* q_low, float* scale, float* scale_sum) {
  float max = 0.0f;
  for (int k = 0; k < kBlockCols; ++k) max = std::max(max, std::fabs(x[k]));
  const bool zero = !(max >= kLeastMax);
  const float step = zero ? 0.0f : max / 127.0f;
  *scale = q_low != nullptr ? step / 128.0f : step;
  const float inverse = zero ? 0.0f : 127.0f / max;
  int32_t sum = 0;
  for (int k = 0; k < kBlockCols; ++k) {
    q[k] = static_cast<int8_t>(std::lrintf(x[k] * inverse));
    sum += q_low != nullptr ? 128 * q[k] : q[k];
    if (q_low == nullptr) continue;
    const float rest = std::fma(static_cast<float>(-q[k]), step, x[k]);
    q_low[k] = static_cast<int8_t>(std::lrintf(rest * (128.0f * inverse)));
    sum += q_low[k];
  }
  *scale_sum = *scale * static_cast<float>(sum);
}

uint16_t load_half(const std::byte* data, int64_t index) {
  uint16_t bits;
  std::memcpy(&bits, data + 2 * index, 2);
  return bits;
}

// The products of one block's 32 unsigned weights of `row` with q: exact in int32.
int32_t block_dot(const std::byte* quants, DType dtype, int64_t row, const int8_t* q) {
  int32_t sum = 0;
  for (int k = 0; k < kBlockCols; ++k) {
    if (dtype == DType::kQ8_0) {
      sum += static_cast<int32_t>(quants[k / 4 * 64 + row * 4 + k % 4]) * q[k];
    } else {
      const int32_t byte = static_cast<int32_t>(quants[k / 8 * 64 + row * 4 + k % 4]);
      sum += (k % 8 < 4 ? byte & 15 : byte >> 4) * q[k];
    }
  }
  return sum;
}

//   y = fma(dot, d * scale, y), then fma(m, scale_sum, y); m = bias * d where the format has no m.
// bias is a power of two, so it does not matter which factor it is taken to.
float output_element(const Int8View& x, int64_t x_row, const std::byte* panel, DType dtype,
                     int64_t block_bytes, int64_t row) {
  const bool has_min = dtype == DType::kQ4_1;
  const float bias = dtype == DType::kQ4_0 ? -8.0f : -128.0f;
  float y = 0.0f;
  for (int64_t b = 0; b < x.num_blocks(); ++b) {
    const std::byte* block = panel + b * block_bytes;
    const int64_t block_index = x_row * x.num_blocks() + b;
    const float d = f16_to_f32(load_half(block, row));
    const float m = has_min ? f16_to_f32(load_half(block, kPanelRows + row)) : bias * d;
    const std::byte* quants = block + (has_min ? 64 : 32);
    const int64_t at = x_row * x.cols + b * kBlockCols;
    int32_t sum = block_dot(quants, dtype, row, x.q + at);
    if (x.q_low != nullptr) sum = 128 * sum + block_dot(quants, dtype, row, x.q_low + at);
    y = std::fma(static_cast<float>(sum), d * x.scale[block_index], y);
    y = std::fma(m, x.scale_sum[block_index], y);
  }
  return y;
}

}  // namespace

void quantize_int8(const ConstView& x, const Int8View& out, int64_t row_begin, int64_t row_end) {
  MK_CHECK(x.dtype == DType::kF32 && x.cols == out.cols && x.cols % kBlockCols == 0,
           "ref quantize_int8: x [{}, {}] {} to {} columns", x.rows, x.cols,
           dtype_info(x.dtype).name, out.cols);
  for (int64_t row = row_begin; row < row_end; ++row) {
    for (int64_t b = 0; b < out.num_blocks(); ++b) {
      const int64_t block_index = row * out.num_blocks() + b;
      const int64_t at = row * out.cols + b * kBlockCols;
      quantize_block(x.row<float>(row) + b * kBlockCols, out.q + at,
                     out.q_low != nullptr ? out.q_low + at : nullptr, out.scale + block_index,
                     out.scale_sum + block_index);
    }
  }
}

void matmul_int8(const Int8View& x, const PackedView& w, const View& y, int64_t panel_begin,
                 int64_t panel_end) {
  MK_CHECK(is_block_quantized(w.dtype) && x.cols == w.cols && y.rows == x.rows && y.cols == w.rows,
           "ref matmul_int8: x [{}, {}], w {} [{}, {}], y [{}, {}]", x.rows, x.cols,
           dtype_info(w.dtype).name, w.rows, w.cols, y.rows, y.cols);
  const int64_t panel_bytes = packed_panel_bytes(w.dtype, w.cols);
  const int64_t block_bytes = panel_bytes / (w.cols / kBlockCols);
  for (int64_t row = panel_begin * kPanelRows; row < std::min(panel_end * kPanelRows, w.rows);
       ++row) {
    const std::byte* panel = w.data + row / kPanelRows * panel_bytes;
    for (int64_t i = 0; i < x.rows; ++i) {
      y.row<float>(i)[row] = output_element(x, i, panel, w.dtype, block_bytes, row % kPanelRows);
    }
  }
}

}  // namespace minke::kernels::ref
