#include "minke/kernels/moe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "minke/base/check.h"
#include "minke/kernels/row_math.h"

namespace minke::kernels {
namespace {

template <class T>
void scores_of(const T* logits, int64_t count, bool sigmoid, T* scores) {
  if (sigmoid) {
    for (int64_t i = 0; i < count; ++i) scores[i] = T{1} / (T{1} + std::exp(-logits[i]));
    return;
  }
  const T max = *std::max_element(logits, logits + count);
  T sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += scores[i] = std::exp(logits[i] - max);
  for (int64_t i = 0; i < count; ++i) scores[i] /= sum;
}

// The `count` best indices of `values`, the best first, of equal ones the lower.
template <class T>
void best_of(const std::vector<T>& values, int64_t count, std::vector<int32_t>& order) {
  order.resize(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&](int32_t a, int32_t b) {
    return values[a] != values[b] ? values[a] > values[b] : a < b;
  });
}

// Gives the choices of groups that are not kept -inf.
template <class T>
void keep_groups(const RouteArgs& args, std::vector<T>& choices) {
  if (args.groups_kept >= args.num_groups) return;
  const auto size = static_cast<int64_t>(choices.size()) / args.num_groups;
  std::vector<T> group_scores(args.num_groups);
  for (int64_t group = 0; group < args.num_groups; ++group) {
    const auto begin = choices.begin() + group * size;
    std::vector<T> best(begin, begin + size);
    std::partial_sort(best.begin(), best.begin() + std::min<int64_t>(2, size), best.end(),
                      std::greater<T>());
    group_scores[group] = args.two_best_of_group && size > 1 ? best[0] + best[1] : best[0];
  }
  std::vector<int32_t> order;
  best_of(group_scores, args.groups_kept, order);
  for (int64_t i = args.groups_kept; i < args.num_groups; ++i) {
    const auto begin = choices.begin() + order[i] * size;
    std::fill(begin, begin + size, -std::numeric_limits<T>::infinity());
  }
}

template <class T>
T sum_of_chosen(const std::vector<T>& scores, const int32_t* ids, int64_t top_k) {
  T sum = 0;
  for (int64_t k = 0; k < top_k; ++k) sum += scores[ids[k]];
  return sum + static_cast<T>(1e-20);
}

// w_k = scale s_k (/ S), so ds_k = scale (dw_k (/ S) - sum_j dw_j s_j / S^2); then through the
// scores: sigmoid ds s (1 - s), softmax s_i (ds_i - sum_j ds_j s_j).
template <class T>
void route_grad_row(const T* logits, int64_t count, const RouteArgs& args, const int32_t* ids,
                    const T* d_weights, T* d_logits) {
  std::vector<T> scores(count), d_scores(count, T{0});
  scores_of(logits, count, args.sigmoid, scores.data());
  const auto scale = static_cast<T>(args.scale);
  T divisor = 1, shift = 0;
  if (args.normalizes) {
    divisor = sum_of_chosen(scores, ids, args.top_k);
    for (int64_t k = 0; k < args.top_k; ++k) shift += d_weights[k] * scores[ids[k]];
    shift /= divisor * divisor;
  }
  T mean = 0;
  for (int64_t k = 0; k < args.top_k; ++k) {
    d_scores[ids[k]] = scale * (d_weights[k] / divisor - shift);
    mean += d_scores[ids[k]] * scores[ids[k]];
  }
  for (int64_t i = 0; i < count; ++i) {
    d_logits[i] =
        scores[i] * (args.sigmoid ? d_scores[i] * (T{1} - scores[i]) : d_scores[i] - mean);
  }
}

void check(const ConstView& logits, const RouteArgs& args, const ConstView& weights) {
  MK_CHECK(args.num_groups > 0 && logits.cols % args.num_groups == 0 && args.groups_kept > 0 &&
               args.groups_kept <= args.num_groups && args.top_k > 0 &&
               args.top_k <= logits.cols / args.num_groups * args.groups_kept &&
               weights.rows == logits.rows && weights.cols == args.top_k &&
               weights.dtype == logits.dtype,
           "route: {} of {} experts in {} of {} groups, weights [{}, {}]", args.top_k, logits.cols,
           args.groups_kept, args.num_groups, weights.rows, weights.cols);
}

}  // namespace

void route(const Device& device, const ConstView& logits, const RouteArgs& args, int32_t* ids,
           const View& weights) {
  check(logits, args, weights);
  with_float_type("route", logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      std::vector<T> scores(logits.cols), choices;
      std::vector<int32_t> order;
      for (int64_t row = begin; row < end; ++row) {
        scores_of(logits.row<T>(row), logits.cols, args.sigmoid, scores.data());
        choices = scores;
        if (args.bias != nullptr) {
          for (int64_t i = 0; i < logits.cols; ++i) choices[i] += static_cast<T>(args.bias[i]);
        }
        keep_groups(args, choices);
        best_of(choices, args.top_k, order);
        std::copy(order.begin(), order.begin() + args.top_k, ids + row * args.top_k);
        const T divisor = args.normalizes ? sum_of_chosen(scores, order.data(), args.top_k) : T{1};
        for (int64_t k = 0; k < args.top_k; ++k) {
          weights.row<T>(row)[k] = scores[order[k]] / divisor * static_cast<T>(args.scale);
        }
      }
    };
    device.pool().parallel_for(logits.rows, row_grain(16 * logits.cols), body);
  });
}

void route_grad(const Device& device, const ConstView& logits, const RouteArgs& args,
                const int32_t* ids, const ConstView& d_weights, const View& d_logits) {
  check(logits, args, d_weights);
  MK_CHECK(d_logits.rows == logits.rows && d_logits.cols == logits.cols,
           "route_grad: logits [{}, {}], their gradient [{}, {}]", logits.rows, logits.cols,
           d_logits.rows, d_logits.cols);
  with_float_type("route_grad", logits.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        route_grad_row<T>(logits.row<T>(row), logits.cols, args, ids + row * args.top_k,
                          d_weights.row<T>(row), d_logits.row<T>(row));
      }
    };
    device.pool().parallel_for(logits.rows, row_grain(16 * logits.cols), body);
  });
}

void gather_rows(const Device& device, const ConstView& x, const int32_t* rows, const View& y) {
  MK_CHECK(x.cols == y.cols && x.dtype == y.dtype, "gather_rows: [{}, {}] to [{}, {}]", x.rows,
           x.cols, y.rows, y.cols);
  with_float_type("gather_rows", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    device.pool().parallel_for(y.rows, row_grain(x.cols), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        MK_DCHECK(rows[i] >= 0 && rows[i] < x.rows, "gather_rows: row {} of {}", rows[i], x.rows);
        std::copy_n(x.row<T>(rows[i]), x.cols, y.row<T>(i));
      }
    });
  });
}

void combine_rows(const Device& device, const ConstView& x, const int32_t* slots,
                  const ConstView& weights, const View& y) {
  MK_CHECK(
      x.cols == y.cols && weights.rows == y.rows && x.dtype == y.dtype && weights.dtype == y.dtype,
      "combine_rows: x [{}, {}], weights [{}, {}], y [{}, {}]", x.rows, x.cols, weights.rows,
      weights.cols, y.rows, y.cols);
  with_float_type("combine_rows", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    device.pool().parallel_for(y.rows, row_grain(weights.cols * x.cols),
                               [&](int64_t begin, int64_t end, int) {
                                 for (int64_t row = begin; row < end; ++row) {
                                   T* to = y.row<T>(row);
                                   std::fill_n(to, y.cols, T{0});
                                   for (int64_t k = 0; k < weights.cols; ++k) {
                                     const T weight = weights.row<T>(row)[k];
                                     const T* from = x.row<T>(slots[row * weights.cols + k]);
                                     for (int64_t c = 0; c < y.cols; ++c) to[c] += weight * from[c];
                                   }
                                 }
                               });
  });
}

void combine_rows_grad(const Device& device, const ConstView& x, const int32_t* slots,
                       const ConstView& weights, const ConstView& dy, const View& dx,
                       const View& d_weights) {
  MK_CHECK(dx.rows == x.rows && dx.cols == x.cols && dy.cols == x.cols &&
               x.rows == weights.rows * weights.cols && dy.rows == weights.rows &&
               d_weights.rows == weights.rows && d_weights.cols == weights.cols,
           "combine_rows_grad: x [{}, {}], weights [{}, {}], dy [{}, {}]", x.rows, x.cols,
           weights.rows, weights.cols, dy.rows, dy.cols);
  with_float_type("combine_rows_grad", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    device.pool().parallel_for(dy.rows, row_grain(weights.cols * x.cols),
                               [&](int64_t begin, int64_t end, int) {
                                 for (int64_t row = begin; row < end; ++row) {
                                   const T* from = dy.row<T>(row);
                                   for (int64_t k = 0; k < weights.cols; ++k) {
                                     const int32_t slot = slots[row * weights.cols + k];
                                     const T weight = weights.row<T>(row)[k];
                                     for (int64_t c = 0; c < x.cols; ++c)
                                       dx.row<T>(slot)[c] = weight * from[c];
                                     d_weights.row<T>(row)[k] = dot(from, x.row<T>(slot), x.cols);
                                   }
                                 }
                               });
  });
}

}  // namespace minke::kernels
