#include "minke/nn/moe.h"

namespace minke {

Tensor Moe::forward(const Context& context, const Tensor& x) const {
  kernels::RouteArgs args = routing;
  if (bias != nullptr) args.bias = bias->value.data<float>();
  const ops::Routing chosen = ops::route(context, gate.forward(context, x), args);
  // The rows of each expert, so that each one in use is read once.
  std::vector<std::vector<int32_t>> rows_of(experts.size()), choices_of(experts.size());
  for (size_t i = 0; i < chosen.ids.size(); ++i) {
    const auto expert = static_cast<size_t>(chosen.ids[i]);
    rows_of[expert].push_back(static_cast<int32_t>(i) / static_cast<int32_t>(args.top_k));
    choices_of[expert].push_back(static_cast<int32_t>(i));
  }
  std::vector<Tensor> parts;
  std::vector<int32_t> slots(chosen.ids.size());
  int32_t slot = 0;
  for (size_t expert = 0; expert < experts.size(); ++expert) {
    if (rows_of[expert].empty()) continue;
    const Tensor rows = ops::gather_rows(context, x, rows_of[expert]);
    const Tensor hidden = experts[expert].gate_up.forward_swiglu(context, rows);
    parts.push_back(experts[expert].down.forward(context, hidden));
    for (const int32_t choice : choices_of[expert]) slots[static_cast<size_t>(choice)] = slot++;
  }
  return ops::combine_rows(context, ops::concat_rows(context, parts), slots, chosen.weights);
}

}  // namespace minke
