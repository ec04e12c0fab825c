#include <algorithm>
#include <cmath>

#include "minke/kernels/cpu/cpu.h"
#include "minke/kernels/implementations.h"
#include "minke/kernels/matmul.h"
#include "minke/kernels/pointwise.h"
#include "minke/kernels/ref/ref.h"
#include "minke/kernels/row_math.h"
#include "minke/tensor/tensor.h"

namespace minke::kernels {
namespace {

// r = 1 / sqrt(mean(x^2) + eps), the squares summed by lane_sum().
template <class T>
T inverse_rms(const T* x, int64_t cols, double eps) {
  const T mean = dot(x, x, cols) / static_cast<T>(cols);
  return T{1} / std::sqrt(mean + static_cast<T>(eps));
}

template <class T>
void norm_row(const T* x, const T* w, int64_t cols, double eps, T* y) {
  const T r = inverse_rms(x, cols, eps);
  for (int64_t i = 0; i < cols; ++i) y[i] = x[i] * r * w[i];
}

using RmsNormFn = void(const ConstView&, const ConstView&, double, const View&, int64_t, int64_t);

void rms_norm_ref(const ConstView& x, const ConstView& w, double eps, const View& y, int64_t begin,
                  int64_t end) {
  with_float_type("rms_norm", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = begin; row < end; ++row) {
      norm_row<T>(x.row<T>(row), w.row<T>(0), x.cols, eps, y.row<T>(row));
    }
  });
}

constexpr Implementation<RmsNormFn> kRmsNorm[] = MK_IMPLEMENTATIONS(rms_norm, rms_norm_ref);

// The kernel for such rows.
RmsNormFn* rms_norm_for(const Device& device, const ConstView& x) {
  const bool vectors = x.dtype == DType::kF32 && x.cols % 16 == 0;
  return choose(kRmsNorm, vectors ? device.level() : CpuLevel::kRef);
}

using QuantizeFn = void(const ConstView&, const Int8View&, int64_t, int64_t);
constexpr Implementation<QuantizeFn> kQuantize[] =
    MK_IMPLEMENTATIONS(quantize_int8, ref::quantize_int8);
constexpr int64_t kQuantizeGrain = 16;  // rows: ~1 us each, a barrier costs 0.1 us

// The same of two kernels for a row, which need not be short.
int64_t norm_quantize_grain(int64_t cols) { return std::min(kQuantizeGrain, row_grain(cols)); }

//   dx = r (w dy - x r^2 mean(w dy x))
template <class T>
void norm_grad_row(const T* x, const T* w, const T* dy, int64_t cols, T r, T* __restrict dx) {
  const T sum = lane_sum<T>(cols, [&](int64_t i) { return w[i] * dy[i] * x[i]; });
  const T factor = r * r * (sum / static_cast<T>(cols));
  for (int64_t i = 0; i < cols; ++i) dx[i] = r * (w[i] * dy[i] - x[i] * factor);
}

// Columns [begin, end) of dw = sum over rows and their groups of dy x r, in order.
template <class T>
void norm_weight_grad(const ConstView& x, const ConstView& dy, const T* inverse, int64_t cols,
                      int64_t begin, int64_t end, T* __restrict dw) {
  for (int64_t c = begin; c < end; ++c) dw[c] = 0;
  for (int64_t row = 0; row < x.rows; ++row) {
    for (int64_t group = 0; group < x.cols / cols; ++group) {
      const T* x_row = x.row<T>(row) + group * cols;
      const T* dy_row = dy.row<T>(row) + group * cols;
      const T r = *inverse++;
      for (int64_t c = begin; c < end; ++c) dw[c] += dy_row[c] * (x_row[c] * r);
    }
  }
}

// Columns [group * cols, (group + 1) * cols) of a view.
template <class SomeView>
SomeView group_of(SomeView view, int64_t group, int64_t cols) {
  view.data += group * cols * dtype_bytes(view.dtype, 1);
  view.cols = cols;
  return view;
}

}  // namespace

void rms_norm(const Device& device, const ConstView& x, const ConstView& w, double eps,
              const View& y) {
  MK_CHECK(x.rows == y.rows && x.cols == y.cols && w.cols > 0 && x.cols % w.cols == 0 &&
               w.dtype == x.dtype && y.dtype == x.dtype,
           "rms_norm: x [{}, {}], w [{}], y [{}, {}]", x.rows, x.cols, w.cols, y.rows, y.cols);
  RmsNormFn* const run = rms_norm_for(device, group_of(x, 0, w.cols));
  device.pool().parallel_for(x.rows, row_grain(x.cols), [&](int64_t begin, int64_t end, int) {
    for (int64_t group = 0; group < x.cols / w.cols; ++group) {
      run(group_of(x, group, w.cols), w, eps, group_of(y, group, w.cols), begin, end);
    }
  });
}

void quantize_int8(const Device& device, const ConstView& x, const Int8View& out) {
  MK_CHECK(x.dtype == DType::kF32 && x.cols % kBlockCols == 0 && out.cols == x.cols &&
               out.rows == x.rows,
           "quantize_int8: x [{}, {}] q [{}, {}]", x.rows, x.cols, out.rows, out.cols);
  QuantizeFn* const run = choose(kQuantize, device.level());
  device.pool().parallel_for(x.rows, kQuantizeGrain,
                             [&](int64_t begin, int64_t end, int) { run(x, out, begin, end); });
}

void rms_norm_quantize_int8(const Device& device, const ConstView& x, const ConstView& w,
                            double eps, const Int8View& out) {
  MK_CHECK(x.dtype == DType::kF32 && x.cols % kBlockCols == 0 && out.cols == x.cols &&
               out.rows == x.rows && w.cols == x.cols && w.dtype == x.dtype,
           "rms_norm_quantize_int8: x [{}, {}] w [{}] q [{}, {}]", x.rows, x.cols, w.cols, out.rows,
           out.cols);
  RmsNormFn* const norm = rms_norm_for(device, x);
  QuantizeFn* const quantize = choose(kQuantize, device.level());
  const Tensor normed =
      Tensor::empty(device.arena(), DType::kF32, {device.pool().num_threads(), x.cols});
  const auto body = [&](int64_t begin, int64_t end, int worker) {
    const View row = normed.rows(worker, worker + 1).view();
    for (int64_t i = begin; i < end; ++i) {
      const auto* in = reinterpret_cast<const std::byte*>(x.row<float>(i));
      norm({in, x.dtype, 1, x.cols, x.stride}, w, eps, row, 0, 1);
      quantize(row, out.rows_from(i, 1), 0, 1);
    }
  };
  device.pool().parallel_for(x.rows, norm_quantize_grain(x.cols), body);
}

void rms_norm_grad(const Device& device, const ConstView& x, const ConstView& w, double eps,
                   const ConstView& dy, const View& dx, const View& dw) {
  MK_CHECK(dy.rows == x.rows && dy.cols == x.cols && dx.rows == x.rows && dx.cols == x.cols &&
               w.cols > 0 && x.cols % w.cols == 0 && dw.cols == w.cols,
           "rms_norm_grad: x [{}, {}], w [{}], dy [{}, {}], dx [{}, {}], dw [{}]", x.rows, x.cols,
           w.cols, dy.rows, dy.cols, dx.rows, dx.cols, dw.cols);
  MK_CHECK(w.dtype == x.dtype && dy.dtype == x.dtype && dx.dtype == x.dtype && dw.dtype == x.dtype,
           "rms_norm_grad: dtypes differ from x's {}", dtype_info(x.dtype).name);
  const int64_t cols = w.cols, num_groups = x.cols / cols;
  const Tensor inverse = Tensor::empty(device.arena(), x.dtype, {x.rows * num_groups});  // 1 / rms
  with_float_type("rms_norm_grad", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* r = inverse.data<T>();
    const auto rows_body = [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin * num_groups; i < end * num_groups; ++i) {
        const int64_t row = i / num_groups, at = i % num_groups * cols;
        r[i] = inverse_rms(x.row<T>(row) + at, cols, eps);
        norm_grad_row<T>(x.row<T>(row) + at, w.row<T>(0), dy.row<T>(row) + at, cols, r[i],
                         dx.row<T>(row) + at);
      }
    };
    device.pool().parallel_for(x.rows, row_grain(x.cols), rows_body);
    const auto columns_body = [&](int64_t begin, int64_t end, int) {
      norm_weight_grad<T>(x, dy, r, cols, begin, end, dw.row<T>(0));
    };
    device.pool().parallel_for(cols, 64, columns_body);
  });
}

}  // namespace minke::kernels
