#include "minke/kernels/moe.h"

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
