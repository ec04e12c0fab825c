#include "minke/kernels/moe.h"

#include <cstring>

#include "minke/ops/ops.h"

namespace minke::ops {

Routing route(const Context& context, const Tensor& logits, const kernels::RouteArgs& args) {
  Routing routing;
  routing.ids.resize(static_cast<size_t>(logits.size(0) * args.top_k));
  routing.weights = context.empty(logits.dtype(), {logits.size(0), args.top_k});
  kernels::route(context.device, logits.view(), args, routing.ids.data(), routing.weights.view());
  if (!context.records(logits)) return routing;
  const Device& device = context.device;
  routing.weights = context.tape->record(
      "route", {logits.var()}, routing.weights,
      [&device, logits, args, ids = routing.ids](const Tensor& dy) {
        const Tensor dx = Tensor::empty(device.arena(), logits.dtype(), logits.shape());
        kernels::route_grad(device, logits.view(), args, ids.data(), dy.view(), dx.view());
        return std::vector<Tensor>{dx};
      });
  return routing;
}

Tensor gather_rows(const Context& context, const Tensor& x, std::span<const int32_t> rows) {
  const Tensor y = context.empty(x.dtype(), {static_cast<int64_t>(rows.size()), x.size(1)});
  kernels::gather_rows(context.device, x.view(), rows.data(), y.view());
  if (!context.records(x)) return y;
  const Device& device = context.device;
  return context.tape->record(
      "gather_rows", {x.var()}, y,
      [&device, shape = x.shape(),
       kept = std::vector<int32_t>(rows.begin(), rows.end())](const Tensor& dy) {
        const Tensor dx = Tensor::empty(device.arena(), dy.dtype(), shape);
        kernels::embedding_grad(device, dy.view(), kept.data(), dx.view());
        return std::vector<Tensor>{dx};
      });
}

Tensor concat_rows(const Context& context, const std::vector<Tensor>& parts) {
  MK_CHECK(!parts.empty(), "concat_rows: no parts");
  const int64_t cols = parts.front().size(1);
  int64_t rows = 0;
  bool recorded = false;
  for (const Tensor& part : parts) {
    MK_CHECK(part.size(1) == cols, "concat_rows: {} and {} columns", part.size(1), cols);
    rows += part.size(0);
    recorded = recorded || context.records(part);
  }
  const Tensor y = context.empty(parts.front().dtype(), {rows, cols});
  std::vector<int64_t> row_ends;
  std::vector<VarId> inputs;
  int64_t row = 0;
  for (const Tensor& part : parts) {
    std::memcpy(y.rows(row, row + part.size(0)).view().data, part.view().data,
                static_cast<size_t>(dtype_bytes(part.dtype(), part.num_elements())));
    row_ends.push_back(row += part.size(0));
    inputs.push_back(part.var());
  }
  if (!recorded) return y;
  return context.tape->record("concat_rows", inputs, y, [row_ends](const Tensor& dy) {
    std::vector<Tensor> gradients;
    int64_t begin = 0;
    for (const int64_t end : row_ends) {
      gradients.push_back(dy.rows(begin, end));
      begin = end;
    }
    return gradients;
  });
}

Tensor combine_rows(const Context& context, const Tensor& x, std::span<const int32_t> slots,
                    const Tensor& weights) {
  MK_CHECK(static_cast<int64_t>(slots.size()) == weights.num_elements(),
           "combine_rows: {} slots for weights {}", slots.size(), weights.shape().text());
  const Tensor y = context.empty(x.dtype(), {weights.size(0), x.size(1)});
  kernels::combine_rows(context.device, x.view(), slots.data(), weights.view(), y.view());
  if (!context.records(x, weights)) return y;
  const Device& device = context.device;
  return context.tape->record(
      "combine_rows", {x.var(), weights.var()}, y,
      [&device, x, weights,
       kept = std::vector<int32_t>(slots.begin(), slots.end())](const Tensor& dy) {
        const Tensor dx = Tensor::empty(device.arena(), x.dtype(), x.shape());
        const Tensor dw = Tensor::empty(device.arena(), weights.dtype(), weights.shape());
        kernels::combine_rows_grad(device, x.view(), kept.data(), weights.view(), dy.view(),
                                   dx.view(), dw.view());
        return std::vector<Tensor>{dx, dw};
      });
}

}  // namespace minke::ops
