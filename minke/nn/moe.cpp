#include "minke/nn/moe.h"

namespace minke {

Tensor Moe::forward(const Context& context, const Tensor& x) const {
  kernels::RouteArgs args = routing;
  if (bias != nullptr) args.bias = bias->value.data<float>();
  const ops::Routing chosen = ops::route(context, gate.forward(context, x), args);
  // The choices in the order of the experts, so that each one in use is read once.
  std::vector<std::vector<int32_t>> choices_of(experts.size());
  for (size_t i = 0; i < chosen.ids.size(); ++i) {
    choices_of[static_cast<size_t>(chosen.ids[i])].push_back(static_cast<int32_t>(i));
  }
  std::vector<const Linear*> gate_ups, downs;
  std::vector<int64_t> group_rows;
  std::vector<int32_t> rows, slots(chosen.ids.size());
  const bool again = context.tape != nullptr && context.tape->recomputes();
  for (size_t expert = 0; expert < experts.size(); ++expert) {
    if (choices_of[expert].empty()) continue;
    gate_ups.push_back(&experts[expert].gate_up);
    downs.push_back(&experts[expert].down);
    group_rows.push_back(static_cast<int64_t>(choices_of[expert].size()));
    if (!again) loads.add(expert, group_rows.back());
    for (const int32_t choice : choices_of[expert]) {
      slots[static_cast<size_t>(choice)] = static_cast<int32_t>(rows.size());
      rows.push_back(static_cast<int32_t>(choice / args.top_k));
    }
  }
  for (const Linear* down : downs) down->will_read();  // while the first products are computed
  const Tensor hidden = Linear::forward_swiglu_grouped(context, ops::gather_rows(context, x, rows),
                                                       gate_ups, group_rows);
  const Tensor made = Linear::forward_grouped(context, hidden, downs, group_rows);
  return ops::combine_rows(context, made, slots, chosen.weights);
}

}  // namespace minke
