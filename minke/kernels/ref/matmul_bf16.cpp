#include <algorithm>
#include <vector>

#include "minke/dtype/half.h"
#include "minke/kernels/packed.h"
#include "minke/kernels/ref/decode.h"
#include "minke/kernels/ref/ref.h"

namespace minke::kernels::ref {

void round_bf16(const ConstView& x, const View& out, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    std::transform(x.row<float>(row), x.row<float>(row) + x.cols, out.row<uint16_t>(row),
                   f32_to_bf16);
  }
}

//   y[i][r] = sum over k of x[i][k] bf16(w[r][k]), two products at a time
void matmul_bf16(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,
                 int64_t panel_end) {
  std::vector<float> panel_weights(w.cols * kPanelRows);  // [k][row]
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    decode_tile<float>(w, panel, 0, w.cols, panel_weights.data());
    const auto weight = [&](int64_t k, int64_t r) {
      return bf16_to_f32(f32_to_bf16(panel_weights[k * kPanelRows + r]));
    };
    const int64_t row_begin = panel * kPanelRows;
    for (int64_t i = 0; i < x.rows; ++i) {
      const auto input = [&](int64_t k) { return bf16_to_f32(x.row<uint16_t>(i)[k]); };
      for (int64_t r = 0; r < std::min<int64_t>(kPanelRows, w.rows - row_begin); ++r) {
        float sum = 0.0f;
        for (int64_t k = 0; k < w.cols; k += 2) {
          sum += input(k) * weight(k, r) + input(k + 1) * weight(k + 1, r);
        }
        y.row<float>(i)[row_begin + r] = sum;
      }
    }
  }
}

}  // namespace minke::kernels::ref
