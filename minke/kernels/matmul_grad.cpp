#include <algorithm>
#include <cstring>

#include "minke/base/check.h"
#include "minke/kernels/matmul.h"
#include "minke/kernels/ref/decode.h"
#include "minke/kernels/row_math.h"

namespace minke::kernels {
namespace {

//   dx[i][k] = sum over r of dy[i][r] w[r][k], r in order.
// A task owns kBlockCols columns k of dx for all rows i: it goes through the panels, turns each
// panel's tile once and adds its 16 weight rows to the sums that rest in dx.
template <class T>
void input_grad_columns(const ConstView& dy, const PackedView& w, const View& dx, int64_t k_begin) {
  const int64_t width = std::min<int64_t>(kBlockCols, w.cols - k_begin);
  T tile[kBlockCols * kPanelRows] = {};   // [k][row]
  T turned[kPanelRows][kBlockCols] = {};  // [row][k]
  for (int64_t i = 0; i < dx.rows; ++i) std::fill_n(dx.row<T>(i) + k_begin, width, T{0});
  for (int64_t panel = 0; panel < w.num_panels(); ++panel) {
    ref::decode_tile<T>(w, panel, k_begin, k_begin + width, tile);
    for (int k = 0; k < kBlockCols; ++k) {
      for (int r = 0; r < kPanelRows; ++r) turned[r][k] = tile[k * kPanelRows + r];
    }
    const int64_t num_rows = std::min<int64_t>(kPanelRows, w.rows - panel * kPanelRows);
    for (int64_t i = 0; i < dx.rows; ++i) {
      const T* factors = dy.row<T>(i) + panel * kPanelRows;
      T* to = dx.row<T>(i) + k_begin;
      T sums[kBlockCols] = {};
      std::memcpy(sums, to, width * sizeof(T));
      for (int64_t r = 0; r < num_rows; ++r) {
        for (int k = 0; k < kBlockCols; ++k) sums[k] += factors[r] * turned[r][k];
      }
      std::memcpy(to, sums, width * sizeof(T));
    }
  }
}

constexpr int64_t kTokens = 64;          // rows of dy that are gathered at once
constexpr int64_t kWeightColumns = 128;  // x 16 rows x f32 = 8 KiB of dw, which stays in L1

//   dw[r][k] = sum over i of dy[i][r] x[i][k], i in order.
// A task owns the 16 rows r of one panel and columns [k_begin, k_end): 16 r are one Lanes.
template <class T>
void weight_grad_tile(const ConstView& dy, const ConstView& x, int64_t panel, int64_t k_begin,
                      int64_t k_end, T* dw) {
  const int64_t num_rows = std::min<int64_t>(kPanelRows, dy.cols - panel * kPanelRows);
  T gathered[kTokens][kPanelRows] = {};
  std::fill(dw + k_begin * kPanelRows, dw + k_end * kPanelRows, T{0});
  for (int64_t i_begin = 0; i_begin < x.rows; i_begin += kTokens) {
    const int64_t count = std::min<int64_t>(kTokens, x.rows - i_begin);
    for (int64_t i = 0; i < count; ++i) {
      std::memcpy(gathered[i], dy.row<T>(i_begin + i) + panel * kPanelRows, num_rows * sizeof(T));
    }
    const T* x_block = x.row<T>(i_begin);
    for (int64_t k = k_begin; k < k_end; ++k) {
      auto sums = Lanes<T>::load(dw + k * kPanelRows);
      for (int64_t i = 0; i < count; ++i) {
        sums.add_product(Lanes<T>::load(gathered[i]), x_block[i * x.stride + k]);
      }
      sums.store(dw + k * kPanelRows);
    }
  }
}

}  // namespace

void matmul_input_grad(const Device& device, const ConstView& dy, const PackedView& w,
                       const View& dx) {
  MK_CHECK(dy.rows == dx.rows && dy.cols == w.rows && dx.cols == w.cols && dy.dtype == dx.dtype,
           "matmul_input_grad: dy [{}, {}], w [{}, {}], dx [{}, {}]", dy.rows, dy.cols, w.rows,
           w.cols, dx.rows, dx.cols);
  const int64_t num_tasks = (w.cols + kBlockCols - 1) / kBlockCols;
  with_float_type("matmul_input_grad", dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    device.pool().parallel_for(num_tasks, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t task = begin; task < end; ++task) {
        input_grad_columns<T>(dy, w, dx, task * kBlockCols);
      }
    });
  });
}

void matmul_weight_grad(const Device& device, const ConstView& dy, const ConstView& x,
                        std::byte* packed_dw) {
  MK_CHECK(dy.rows == x.rows && dy.dtype == x.dtype, "matmul_weight_grad: dy [{}, {}], x [{}, {}]",
           dy.rows, dy.cols, x.rows, x.cols);
  const int64_t num_panels = (dy.cols + kPanelRows - 1) / kPanelRows;
  const int64_t num_pieces = (x.cols + kWeightColumns - 1) / kWeightColumns;
  with_float_type("matmul_weight_grad", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    device.pool().parallel_for(num_panels * num_pieces, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t panel = task / num_pieces;
        const int64_t k_begin = task % num_pieces * kWeightColumns;
        weight_grad_tile<T>(dy, x, panel, k_begin,
                            std::min<int64_t>(k_begin + kWeightColumns, x.cols),
                            reinterpret_cast<T*>(packed_dw) + panel * kPanelRows * x.cols);
      }
    });
  });
}

}  // namespace minke::kernels
