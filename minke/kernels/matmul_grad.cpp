#include <algorithm>
#include <cstring>

#include "minke/base/check.h"
#include "minke/kernels/cpu/cpu.h"
#include "minke/kernels/implementations.h"
#include "minke/kernels/matmul.h"
#include "minke/kernels/ref/decode.h"
#include "minke/kernels/row_math.h"
#include "minke/tensor/tensor.h"

namespace minke::kernels {
namespace {

using InputGradFn = void(const ConstView&, const PackedView&, const View&, const MatmulPiece&,
                         std::byte*);
using WeightGradFn = void(const ConstView&, const ConstView&, bool, float*, const MatmulPiece&,
                          std::byte*);

//   dx[i][k] = sum over r of dy[i][r] w[r][k], r in order.
// kBlockCols columns k of the piece's rows i at a time: goes through the panels, turns each panel's
// tile once and adds its 16 weight rows to the sums that rest in dx.
template <class T>
void input_grad_columns(const ConstView& dy, const PackedView& w, const View& dx,
                        const MatmulPiece& piece, int64_t k_begin) {
  const int64_t width = std::min<int64_t>(kBlockCols, piece.col_end - k_begin);
  T tile[kBlockCols * kPanelRows] = {};   // [k][row]
  T turned[kPanelRows][kBlockCols] = {};  // [row][k]
  for (int64_t i = piece.begin; i < piece.end; ++i) std::fill_n(dx.row<T>(i) + k_begin, width, T{});
  for (int64_t panel = 0; panel < w.num_panels(); ++panel) {
    ref::decode_tile<T>(w, panel, k_begin, k_begin + width, tile);
    for (int k = 0; k < kBlockCols; ++k) {
      for (int r = 0; r < kPanelRows; ++r) turned[r][k] = tile[k * kPanelRows + r];
    }
    const int64_t num_rows = std::min<int64_t>(kPanelRows, w.rows - panel * kPanelRows);
    for (int64_t i = piece.begin; i < piece.end; ++i) {
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

template <class T>
void ref_input_grad(const ConstView& dy, const PackedView& w, const View& dx,
                    const MatmulPiece& piece, std::byte*) {
  for (int64_t k = piece.col_begin; k < piece.col_end; k += kBlockCols) {
    input_grad_columns<T>(dy, w, dx, piece, k);
  }
}

constexpr int64_t kTokens = 64;  // rows of dy that are gathered at once

//   dw[r][k] = sum over i of dy[i][r] x[i][k], i in order: 16 r of a panel are one Lanes.
template <class T>
void ref_weight_grad(const ConstView& dy, const ConstView& x, bool add, T* packed_dw,
                     const MatmulPiece& piece, std::byte*) {
  for (int64_t panel = piece.begin; panel < piece.end; ++panel) {
    const int64_t num_rows = std::min<int64_t>(kPanelRows, dy.cols - panel * kPanelRows);
    T gathered[kTokens][kPanelRows] = {};
    T* dw = packed_dw + panel * kPanelRows * x.cols;
    if (!add) std::fill(dw + piece.col_begin * kPanelRows, dw + piece.col_end * kPanelRows, T{0});
    for (int64_t i_begin = 0; i_begin < x.rows; i_begin += kTokens) {
      const int64_t count = std::min<int64_t>(kTokens, x.rows - i_begin);
      for (int64_t i = 0; i < count; ++i) {
        std::memcpy(gathered[i], dy.row<T>(i_begin + i) + panel * kPanelRows, num_rows * sizeof(T));
      }
      const T* x_block = x.row<T>(i_begin);
      for (int64_t k = piece.col_begin; k < piece.col_end; ++k) {
        auto sums = Lanes<T>::load(dw + k * kPanelRows);
        for (int64_t i = 0; i < count; ++i) {
          sums.add_product(Lanes<T>::load(gathered[i]), x_block[i * x.stride + k]);
        }
        sums.store(dw + k * kPanelRows);
      }
    }
  }
}

constexpr Implementation<InputGradFn> kInputGrad[] =
    MK_TRAINING_IMPLEMENTATIONS(matmul_input_grad, ref_input_grad<float>);
constexpr Implementation<WeightGradFn> kWeightGrad[] =
    MK_TRAINING_IMPLEMENTATIONS(matmul_weight_grad, ref_weight_grad<float>);

// `count` cut evenly in pieces of at most `most`, which are multiples of `unit` but for the last.
int64_t even_piece(int64_t count, int64_t most, int64_t unit) {
  const int64_t num_pieces = std::max<int64_t>(1, (count + most - 1) / most);
  const int64_t even = (count + num_pieces - 1) / num_pieces;
  return std::max<int64_t>(1, (even + unit - 1) / unit) * unit;
}

// Calls body(piece, scratch) for all of [0, count) x [0, cols) in pieces of at most `step` x
// kPieceCols. Where K-quants' units are 256 inputs wide, cols is a multiple of that, and so are the
// pieces.
template <class Body>
void over_pieces(const Device& device, int64_t count, int64_t step, int64_t cols,
                 const Body& body) {
  const int64_t width = even_piece(cols, kPieceCols, kBlockCols);
  const int64_t across = (cols + width - 1) / width, down = (count + step - 1) / step;
  const Tensor scratch =
      Tensor::empty(device.arena(), DType::kI8, {device.pool().num_threads(), kMatmulGradScratch});
  device.pool().parallel_for(across * down, 1, [&](int64_t begin, int64_t end, int worker) {
    auto* mine = reinterpret_cast<std::byte*>(scratch.data<int8_t>()) + worker * kMatmulGradScratch;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i / across * step, col = i % across * width;
      body(MatmulPiece{row, std::min(row + step, count), col, std::min(col + width, cols)}, mine);
    }
  });
}

// Rows of dx a thread takes at a time: so many that turning the weights around costs little, but
// some pieces for each thread.
int64_t rows_of_piece(const Device& device, int64_t n, int64_t cols) {
  const int64_t across = (cols + kPieceCols - 1) / kPieceCols;
  const int64_t down = (4 * device.pool().num_threads() + across - 1) / across;
  const int64_t most = std::clamp<int64_t>((n + down - 1) / down, 72, 504);
  return even_piece(n, most, 24);  // a multiple of all tiles
}

}  // namespace

void matmul_input_grad(const Device& device, const ConstView& dy, const PackedView& w,
                       const View& dx) {
  MK_CHECK(dy.rows == dx.rows && dy.cols == w.rows && dx.cols == w.cols && dy.dtype == dx.dtype,
           "matmul_input_grad: dy [{}, {}], w [{}, {}], dx [{}, {}]", dy.rows, dy.cols, w.rows,
           w.cols, dx.rows, dx.cols);
  with_float_type("matmul_input_grad", dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    InputGradFn* run = ref_input_grad<T>;
    if (sizeof(T) == 4) run = choose(kInputGrad, device.level());
    over_pieces(
        device, dy.rows, rows_of_piece(device, dy.rows, w.cols), w.cols,
        [&](const MatmulPiece& piece, std::byte* scratch) { run(dy, w, dx, piece, scratch); });
  });
}

void matmul_weight_grad(const Device& device, const ConstView& dy, const ConstView& x, bool add,
                        std::byte* packed_dw) {
  MK_CHECK(dy.rows == x.rows && dy.dtype == x.dtype, "matmul_weight_grad: dy [{}, {}], x [{}, {}]",
           dy.rows, dy.cols, x.rows, x.cols);
  const int64_t num_panels = (dy.cols + kPanelRows - 1) / kPanelRows;
  with_float_type("matmul_weight_grad", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    void (*run)(const ConstView&, const ConstView&, bool, T*, const MatmulPiece&, std::byte*) =
        ref_weight_grad<T>;
    if constexpr (sizeof(T) == 4) {
      if (x.rows > 0) run = choose(kWeightGrad, device.level());
    }
    over_pieces(device, num_panels, even_piece(num_panels, kPiecePanels, 2), x.cols,
                [&](const MatmulPiece& piece, std::byte* scratch) {
                  run(dy, x, add, reinterpret_cast<T*>(packed_dw), piece, scratch);
                });
  });
}

}  // namespace minke::kernels
