#include <algorithm>
#include <cmath>
#include <vector>

#include "minke/base/check.h"
#include "minke/kernels/panel_block.h"
#include "minke/kernels/ref/ref.h"

namespace minke::kernels::ref {
namespace {

// Below this a block is taken as zero: 127 / max must stay finite (127 / 2^-100 < 2^107).
constexpr float kLeastMax = 0x1.0p-100f;

float largest(const float* x) {
  float max = 0.0f;
  for (int k = 0; k < kBlockCols; ++k) max = std::max(max, std::fabs(x[k]));
  return max;
}

//   scale = max|x| / 127,  q = round(x * (127 / max|x|)), halves to even,
//   q_low = round((x - scale q) * (128 * 127 / max|x|)) in a block that has it
void quantize_block(const float* x, float max, bool has_low, const Int8View& out, int64_t at) {
  const bool zero = !(max >= kLeastMax);
  const float scale = zero ? 0.0f : max / 127.0f;
  const float inverse = zero ? 0.0f : 127.0f / max;
  int32_t sum[2] = {0, 0}, low_sum[2] = {0, 0};
  for (int k = 0; k < kBlockCols; ++k) {
    int8_t& q = out.q[at * kBlockCols + k];
    q = static_cast<int8_t>(std::lrintf(x[k] * inverse));
    sum[k / 16] += q;
    if (!has_low) continue;
    int8_t& q_low = out.q_low[at * kBlockCols + k];
    const float rest = std::fma(static_cast<float>(-q), scale, x[k]);
    q_low = static_cast<int8_t>(std::lrintf(rest * (128.0f * inverse)));
    low_sum[k / 16] += q_low;
  }
  out.has_low[at] = has_low;
  out.scale[at] = scale;
  out.scale_sum[at] = sum_of_inputs(scale, sum[0] + sum[1], low_sum[0] + low_sum[1]);
  for (int g = 0; g < 2; ++g) {
    out.q_sum[2 * at + g] = sum[g];
    out.q_low_sum[2 * at + g] = low_sum[g];
  }
}

// The products of inputs [begin, end) of the block with q: exact in int32.
int32_t group_dot(const RowBlock& block, int begin, int end, const int8_t* q) {
  int32_t sum = 0;
  for (int k = begin; k < end; ++k) sum += block.q[k] * q[k];
  return sum;
}

//   for each block and each group in it, in order:
//     y = fma(dot, s * scale, y), then fma(t, sum of x, y) where the format has a minimum, then
//     fma(dot_low, s * (scale / 128), y) where the block has q_low
float add_block(float y, const RowBlock& block, bool has_min, const Int8View& x, int64_t at) {
  const float scale = x.scale[at];
  for (int g = 0; g < kBlockCols / block.group_size; ++g) {
    const int begin = g * block.group_size, end = begin + block.group_size;
    const int32_t sum = group_dot(block, begin, end, x.q + at * kBlockCols);
    y = std::fma(static_cast<float>(sum), block.s[g] * scale, y);
    if (has_min) {
      const float x_sum = block.group_size == kBlockCols
                              ? x.scale_sum[at]
                              : sum_of_inputs(scale, x.q_sum[2 * at + g], x.q_low_sum[2 * at + g]);
      y = std::fma(block.t[g], x_sum, y);
    }
    if (x.has_low[at]) {
      const int32_t low = group_dot(block, begin, end, x.q_low + at * kBlockCols);
      y = std::fma(static_cast<float>(low), block.s[g] * (scale / 128.0f), y);
    }
  }
  return y;
}

}  // namespace

void quantize_int8(const ConstView& x, const Int8View& out, int64_t row_begin, int64_t row_end) {
  MK_CHECK(x.dtype == DType::kF32 && x.cols == out.cols && x.cols % kBlockCols == 0,
           "ref quantize_int8: x [{}, {}] {} to {} columns", x.rows, x.cols,
           dtype_info(x.dtype).name, out.cols);
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* in = x.row<float>(row);
    float sum_of_max = 0.0f;
    for (int64_t b = 0; b < out.num_blocks(); ++b) sum_of_max += largest(in + b * kBlockCols);
    const float bound = low_bound(sum_of_max, out.num_blocks());
    for (int64_t b = 0; b < out.num_blocks(); ++b) {
      const float max = largest(in + b * kBlockCols);
      quantize_block(in + b * kBlockCols, max, max > bound, out, row * out.num_blocks() + b);
    }
  }
}

void matmul_int8(const Int8View& x, const PackedView& w, const View& y, bool add,
                 int64_t panel_begin, int64_t panel_end) {
  MK_CHECK(is_block_quantized(w.dtype) && x.cols == w.cols && y.rows == x.rows && y.cols == w.rows,
           "ref matmul_int8: x [{}, {}], w {} [{}, {}], y [{}, {}]", x.rows, x.cols,
           dtype_info(w.dtype).name, w.rows, w.cols, y.rows, y.cols);
  const bool has_min = block_format(w.dtype).has_min;
  std::vector<float> sums(x.rows);
  for (int64_t row = panel_begin * kPanelRows; row < std::min(panel_end * kPanelRows, w.rows);
       ++row) {
    std::fill(sums.begin(), sums.end(), 0.0f);
    for (int64_t b = 0; b < x.num_blocks(); ++b) {
      const RowBlock block = read_row_block(w, row, b);
      for (int64_t i = 0; i < x.rows; ++i) {
        sums[i] = add_block(sums[i], block, has_min, x, i * x.num_blocks() + b);
      }
    }
    for (int64_t i = 0; i < x.rows; ++i) {
      float& out = y.row<float>(i)[row];
      out = add ? out + sums[i] : sums[i];
    }
  }
}

}  // namespace minke::kernels::ref
