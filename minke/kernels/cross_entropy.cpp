#include <algorithm>
#include <cmath>

#include "minke/kernels/exp.h"
#include "minke/kernels/pointwise.h"
#include "minke/kernels/row_math.h"

namespace minke::kernels {
namespace {

// One number a row of the logits, in one row or one column.
bool one_a_row(const ConstView& values, const ConstView& logits) {
  return values.rows * values.cols == logits.rows && values.dtype == logits.dtype &&
         (values.rows <= 1 || values.stride == values.cols);
}

template <class T>
T row_max(const T* x, int64_t count) {
  T lanes[16];
  std::fill_n(lanes, 16, x[0]);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int lane = 0; lane < 16; ++lane) {
      lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
    }
  }
  for (; i < count; ++i) lanes[0] = std::max(lanes[0], x[i]);
  return *std::max_element(lanes, lanes + 16);
}

// max + log(sum of exp(x - max)). Terms are f32 for f32 rows, their sum is f64: a vocabulary has
// 1e5 of them.
template <class T>
double log_sum_exp(const T* x, int64_t count) {
  const T max = row_max(x, count);
  const double sum = lane_sum<double>(count, [&](int64_t i) { return exp_of<T>(x[i] - max); });
  return static_cast<double>(max) + std::log(sum);
}

template <class T>
T row_loss(const T* logits, int64_t vocab, int32_t target) {
  if (target < 0) return 0;
  return static_cast<T>(log_sum_exp(logits, vocab) - static_cast<double>(logits[target]));
}

template <class T>
void row_grad(const T* logits, int64_t vocab, int32_t target, T scale, T* d_logits) {
  if (target < 0) {
    std::fill_n(d_logits, vocab, T{0});
    return;
  }
  const T norm = static_cast<T>(log_sum_exp(logits, vocab));
  for (int64_t i = 0; i < vocab; ++i) d_logits[i] = exp_of<T>(logits[i] - norm) * scale;
  d_logits[target] -= scale;
}

}  // namespace

void cross_entropy(const Device& device, const ConstView& logits, const int32_t* targets,
                   const View& losses) {
  MK_CHECK(one_a_row(losses, logits), "cross_entropy: logits [{}, {}], losses [{}, {}]",
           logits.rows, logits.cols, losses.rows, losses.cols);
  with_float_type("cross_entropy", logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        MK_CHECK(targets[row] < logits.cols, "cross_entropy: target {} of {}", targets[row],
                 logits.cols);
        losses.row<T>(0)[row] = row_loss<T>(logits.row<T>(row), logits.cols, targets[row]);
      }
    };
    device.pool().parallel_for(logits.rows, row_grain(4 * logits.cols), body);
  });
}

void cross_entropy_grad(const Device& device, const ConstView& logits, const int32_t* targets,
                        const ConstView& scales, const View& d_logits) {
  MK_CHECK(logits.rows == d_logits.rows && logits.cols == d_logits.cols &&
               logits.dtype == d_logits.dtype && one_a_row(scales, logits),
           "cross_entropy_grad: logits [{}, {}] to [{}, {}]", logits.rows, logits.cols,
           d_logits.rows, d_logits.cols);
  with_float_type("cross_entropy_grad", logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        row_grad<T>(logits.row<T>(row), logits.cols, targets[row], scales.row<T>(0)[row],
                    d_logits.row<T>(row));
      }
    };
    device.pool().parallel_for(logits.rows, row_grain(4 * logits.cols), body);
  });
}

}  // namespace minke::kernels
