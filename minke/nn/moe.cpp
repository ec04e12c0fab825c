#include "minke/nn/moe.h"

namespace minke {

Tensor Moe::forward(const Context& context, const Tensor& x) const {
  kernels::RouteArgs args = routing;
  if (bias != nullptr) args.bias = bias->value.data<float>();
  const ops::Routing chosen = ops::route(context, gate.forward(context, x), args);
  // The choices of each expert, so that each one in use is read once.
  std::vector<std::vector<size_t>> choices_of(experts.size());
  for (size_t i = 0; i < chosen.ids.size(); ++i) {
    choices_of[static_cast<size_t>(chosen.ids[i])].push_back(i);
  }
  std::vector<Tensor> parts;
  std::vector<int32_t> slots(chosen.ids.size());
  int32_t slot = 0;
  for (size_t expert = 0; expert < experts.size(); ++expert) {
    if (choices_of[expert].empty()) continue;
    std::vector<int32_t> rows;
    for (const size_t choice : choices_of[expert]) {
      rows.push_back(static_cast<int32_t>(static_cast<int64_t>(choice) / args.top_k));
      slots[choice] = slot++;
    }
    const Tensor hidden =
        experts[expert].gate_up.forward_swiglu(context, ops::gather_rows(context, x, rows));
    parts.push_back(experts[expert].down.forward(context, hidden));
  }
  return ops::combine_rows(context, ops::concat_rows(context, parts), slots, chosen.weights);
}

}  // namespace minke
