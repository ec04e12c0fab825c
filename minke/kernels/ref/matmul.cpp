#include <algorithm>
#include <cmath>

#include "minke/base/check.h"
#include "minke/dtype/half.h"
#include "minke/kernels/packed.h"
#include "minke/kernels/ref/decode.h"
#include "minke/kernels/ref/ref.h"

namespace minke::kernels::ref {
namespace {

//   y[i][r] = sum over k of x[i][k] w[r][k]: one chain of fused multiply-adds in the order of k.
// The chain is cut into blocks of 32 inputs, between which it rests in y.
template <class T>
void matmul_panel(const ConstView& x, const PackedView& w, const View& y, int64_t panel) {
  T tile[kBlockCols * kPanelRows];  // [k][row]
  const int64_t row_begin = panel * kPanelRows;
  const int64_t num_rows = std::min<int64_t>(kPanelRows, w.rows - row_begin);
  for (int64_t i = 0; i < x.rows; ++i) std::fill_n(y.row<T>(i) + row_begin, num_rows, T{0});
  for (int64_t k_begin = 0; k_begin < w.cols; k_begin += kBlockCols) {
    const int64_t k_end = std::min<int64_t>(k_begin + kBlockCols, w.cols);
    decode_tile<T>(w, panel, k_begin, k_end, tile);
    for (int64_t i = 0; i < x.rows; ++i) {
      const T* x_row = x.row<T>(i);
      for (int64_t r = 0; r < num_rows; ++r) {
        T sum = y.row<T>(i)[row_begin + r];
        for (int64_t k = k_begin; k < k_end; ++k) {
          sum = std::fma(x_row[k], tile[(k - k_begin) * kPanelRows + r], sum);
        }
        y.row<T>(i)[row_begin + r] = sum;
      }
    }
  }
}

}  // namespace

void matmul(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,
            int64_t panel_end) {
  MK_CHECK(x.cols == w.cols && y.cols == w.rows && y.rows == x.rows && x.dtype == y.dtype,
           "ref matmul: x [{}, {}], w [{}, {}], y [{}, {}]", x.rows, x.cols, w.rows, w.cols, y.rows,
           y.cols);
  for (int64_t panel = panel_begin; panel < panel_end; ++panel) {
    if (x.dtype == DType::kF64) {
      matmul_panel<double>(x, w, y, panel);
    } else {
      matmul_panel<float>(x, w, y, panel);
    }
  }
}

}  // namespace minke::kernels::ref
