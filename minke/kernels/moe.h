#pragma once
#include <cstdint>

#include "minke/tensor/device.h"
#include "minke/tensor/view.h"

namespace minke::kernels {

/// How DeepSeek's gate chooses experts (V2: arXiv 2405.04434, 2.2; V3: arXiv 2412.19437, 2.1.2).
struct RouteArgs {
  int64_t top_k = 1;
  int64_t num_groups = 1;   ///< consecutive blocks of experts
  int64_t groups_kept = 1;  ///< only experts of the best groups are chosen
  bool sigmoid = false;     ///< of each logit (V3), else their softmax (V2)
  /// A group's score is the sum of its two best choices (V3), else its best one (V2).
  bool two_best_of_group = false;
  bool normalizes = false;  ///< weights are divided by their sum + 1e-20
  double scale = 1.0;       ///< of the weights, afterwards
  /// [experts], added to scores for choosing only (V3's correction); null: none.
  const float* bias = nullptr;
};

/// Chooses experts for each row of logits [n, experts]: ids [n, top_k] int32, the best first (of
/// equal ones the lower id), and their weights [n, top_k]. Experts of groups that are not kept are
/// never chosen (their scores count as -inf). f32 or f64.
void route(const Device& device, const ConstView& logits, const RouteArgs& args, int32_t* ids,
           const View& weights);
/// d_logits (overwritten) from the gradients of the weights.
void route_grad(const Device& device, const ConstView& logits, const RouteArgs& args,
                const int32_t* ids, const ConstView& d_weights, const View& d_logits);

/// y[i] = x[rows[i]]: y [num_rows of y, cols], rows in range. Its gradient is embedding_grad()
/// (pointwise.h).
void gather_rows(const Device& device, const ConstView& x, const int32_t* rows, const View& y);
/// y[t] = sum over k, in order, of weights[t, k] * x[slots[t * top_k + k]]: what the experts of a
/// token make, weighted. x [rows, cols], y [n, cols], weights [n, top_k].
void combine_rows(const Device& device, const ConstView& x, const int32_t* slots,
                  const ConstView& weights, const View& y);
/// Its gradients, overwritten; every row of x must stand in exactly one slot.
void combine_rows_grad(const Device& device, const ConstView& x, const int32_t* slots,
                       const ConstView& weights, const ConstView& dy, const View& dx,
                       const View& d_weights);

}  // namespace minke::kernels
