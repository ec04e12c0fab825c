#include <algorithm>
#include <cmath>

#include "minke/base/check.h"
#include "minke/kernels/panel_block.h"
#include "minke/kernels/ref/ref.h"

namespace minke::kernels::ref {
namespace {

// Below this a block is taken as zero: 127 / max must stay finite (127 / 2^-100 < 2^107).
constexpr float kLeastMax = 0x1.0p-100f;

//   8 bits:  step = max|x| / 127,  q = round(x * (127 / max|x|)), halves to even;       scale =
//   step 15 bits: q_low = round((x - step q) * (128 * 127 / max|x|)),                 scale = step
//   / 128
// group_sum gets the sums of the two sixteens.
void quantize_block(const float* x, int8_t* q, int8_t* q_low, float* scale, float* scale_sum,
                    int32_t* group_sum) {
  float max = 0.0f;
  for (int k = 0; k < kBlockCols; ++k) max = std::max(max, std::fabs(x[k]));
  const bool zero = !(max >= kLeastMax);
  const float step = zero ? 0.0f : max / 127.0f;
  *scale = q_low != nullptr ? step / 128.0f : step;
  const float inverse = zero ? 0.0f : 127.0f / max;
  group_sum[0] = group_sum[1] = 0;
  for (int k = 0; k < kBlockCols; ++k) {
    int32_t& sum = group_sum[k / 16];
    q[k] = static_cast<int8_t>(std::lrintf(x[k] * inverse));
    sum += q_low != nullptr ? 128 * q[k] : q[k];
    if (q_low == nullptr) continue;
    const float rest = std::fma(static_cast<float>(-q[k]), step, x[k]);
    q_low[k] = static_cast<int8_t>(std::lrintf(rest * (128.0f * inverse)));
    sum += q_low[k];
  }
  *scale_sum = *scale * static_cast<float>(group_sum[0] + group_sum[1]);
}

// The products of inputs [begin, end) of the block with q: exact in int32.
int32_t group_dot(const RowBlock& block, int begin, int end, const int8_t* q) {
  int32_t sum = 0;
  for (int k = begin; k < end; ++k) sum += block.q[k] * q[k];
  return sum;
}

//   for each block and each group in it, in order:
//     y = fma(dot, s * scale, y), then fma(t, scale * sum, y) where the format has a minimum
float add_block(float y, const RowBlock& block, bool has_min, const Int8View& x, int64_t at) {
  const int8_t* q = x.q + at * kBlockCols;
  for (int g = 0; g < kBlockCols / block.group_size; ++g) {
    const int begin = g * block.group_size, end = begin + block.group_size;
    int32_t sum = group_dot(block, begin, end, q);
    if (x.q_low != nullptr) {
      sum = 128 * sum + group_dot(block, begin, end, x.q_low + at * kBlockCols);
    }
    y = std::fma(static_cast<float>(sum), block.s[g] * x.scale[at], y);
    if (!has_min) continue;
    const float scale_sum = block.group_size == kBlockCols
                                ? x.scale_sum[at]
                                : x.scale[at] * static_cast<float>(x.group_sum[2 * at + g]);
    y = std::fma(block.t[g], scale_sum, y);
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
                     out.scale_sum + block_index, out.group_sum + 2 * block_index);
    }
  }
}

void matmul_int8(const Int8View& x, const PackedView& w, const View& y, int64_t panel_begin,
                 int64_t panel_end) {
  MK_CHECK(is_block_quantized(w.dtype) && x.cols == w.cols && y.rows == x.rows && y.cols == w.rows,
           "ref matmul_int8: x [{}, {}], w {} [{}, {}], y [{}, {}]", x.rows, x.cols,
           dtype_info(w.dtype).name, w.rows, w.cols, y.rows, y.cols);
  const bool has_min = block_format(w.dtype).has_min;
  for (int64_t row = panel_begin * kPanelRows; row < std::min(panel_end * kPanelRows, w.rows);
       ++row) {
    for (int64_t i = 0; i < x.rows; ++i) y.row<float>(i)[row] = 0.0f;
    for (int64_t b = 0; b < x.num_blocks(); ++b) {
      const RowBlock block = read_row_block(w, row, b);
      for (int64_t i = 0; i < x.rows; ++i) {
        float& sum = y.row<float>(i)[row];
        sum = add_block(sum, block, has_min, x, i * x.num_blocks() + b);
      }
    }
  }
}

}  // namespace minke::kernels::ref
