#include <cmath>

#include "minke/kernels/pointwise.h"
#include "minke/kernels/row_math.h"
#include "minke/tensor/tensor.h"

namespace minke::kernels {
namespace {

constexpr int64_t kColumnGrain = 64;  // columns a thread takes at once where rows are summed

// Of a row: its mean, and r = 1 / sqrt(variance + eps).
template <class T>
struct Moments {
  T mean;
  T r;
};

template <class T>
Moments<T> moments_of(const T* x, int64_t cols, double eps) {
  const auto count = static_cast<T>(cols);
  const T mean = lane_sum<T>(cols, [&](int64_t i) { return x[i]; }) / count;
  const T squares = lane_sum<T>(cols, [&](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
  return {mean, T{1} / std::sqrt(squares / count + static_cast<T>(eps))};
}

template <class T>
void norm_row(const T* x, const T* w, const T* b, int64_t cols, double eps, T* y) {
  const auto [mean, r] = moments_of(x, cols, eps);
  for (int64_t i = 0; i < cols; ++i) {
    const T normed = (x[i] - mean) * r * w[i];
    y[i] = b != nullptr ? normed + b[i] : normed;
  }
}

// With h = (x - mean) r and g = w dy:
//   dx = r (g - mean(g) - h mean(g h))
template <class T>
void norm_grad_row(const T* x, const T* w, const T* dy, int64_t cols, Moments<T> moments, T* dx) {
  const auto [mean, r] = moments;
  const auto count = static_cast<T>(cols);
  const T g_mean = lane_sum<T>(cols, [&](int64_t i) { return w[i] * dy[i]; }) / count;
  const T gh_mean =
      lane_sum<T>(cols, [&](int64_t i) { return w[i] * dy[i] * ((x[i] - mean) * r); }) / count;
  for (int64_t i = 0; i < cols; ++i) {
    dx[i] = r * (w[i] * dy[i] - g_mean - (x[i] - mean) * r * gh_mean);
  }
}

// Columns [begin, end) of dw = sum over rows of dy h and of db = sum of dy, in order.
template <class T>
void column_sums(const ConstView& x, const ConstView& dy, const Moments<T>* moments, int64_t begin,
                 int64_t end, T* dw, T* db) {
  std::fill(dw + begin, dw + end, T{0});
  if (db != nullptr) std::fill(db + begin, db + end, T{0});
  for (int64_t row = 0; row < x.rows; ++row) {
    const T* x_row = x.row<T>(row);
    const T* dy_row = dy.row<T>(row);
    const auto [mean, r] = moments[row];
    for (int64_t c = begin; c < end; ++c) dw[c] += dy_row[c] * ((x_row[c] - mean) * r);
    if (db == nullptr) continue;
    for (int64_t c = begin; c < end; ++c) db[c] += dy_row[c];
  }
}

// A vector as wide as x, or no data where that is allowed.
bool fits(const ConstView& vector, const ConstView& x) {
  return vector.cols == x.cols && vector.dtype == x.dtype;
}

}  // namespace

void layer_norm(const Device& device, const ConstView& x, const ConstView& w, const ConstView& b,
                double eps, const View& y) {
  MK_CHECK(x.rows == y.rows && x.cols == y.cols && x.dtype == y.dtype && fits(w, x) &&
               (b.data == nullptr || fits(b, x)),
           "layer_norm: x [{}, {}], w [{}], b [{}], y [{}, {}]", x.rows, x.cols, w.cols, b.cols,
           y.rows, y.cols);
  with_float_type("layer_norm", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        norm_row<T>(x.row<T>(row), w.row<T>(0), b.row<T>(0), x.cols, eps, y.row<T>(row));
      }
    };
    device.pool().parallel_for(x.rows, row_grain(x.cols), body);
  });
}

void layer_norm_grad(const Device& device, const ConstView& x, const ConstView& w, double eps,
                     const ConstView& dy, const View& dx, const View& dw, const View& db) {
  MK_CHECK(dy.rows == x.rows && fits(dy, x) && dx.rows == x.rows && fits(dx, x) && fits(w, x) &&
               fits(dw, x) && (db.data == nullptr || fits(db, x)),
           "layer_norm_grad: x [{}, {}], w [{}], dy [{}, {}], dx [{}, {}], dw [{}], db [{}]",
           x.rows, x.cols, w.cols, dy.rows, dy.cols, dx.rows, dx.cols, dw.cols, db.cols);
  const Tensor kept = Tensor::empty(device.arena(), x.dtype, {x.rows, 2});
  with_float_type("layer_norm_grad", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    auto* moments = reinterpret_cast<Moments<T>*>(kept.data<T>());
    const auto rows_body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        moments[row] = moments_of(x.row<T>(row), x.cols, eps);
        norm_grad_row<T>(x.row<T>(row), w.row<T>(0), dy.row<T>(row), x.cols, moments[row],
                         dx.row<T>(row));
      }
    };
    device.pool().parallel_for(x.rows, row_grain(x.cols), rows_body);
    const auto columns_body = [&](int64_t begin, int64_t end, int) {
      column_sums<T>(x, dy, moments, begin, end, dw.row<T>(0), db.row<T>(0));
    };
    device.pool().parallel_for(x.cols, kColumnGrain, columns_body);
  });
}

}  // namespace minke::kernels
