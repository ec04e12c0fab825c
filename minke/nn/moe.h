#pragma once
#include <vector>

#include "minke/nn/expert_loads.h"
#include "minke/nn/linear.h"

namespace minke {

/// Experts chosen by a gate, row by row: y = sum over the chosen ones, in the order of choice, of
/// weight * down(silu(gate x) * up x) (DeepSeekMoE; arXiv 2401.06066). A row's result does not
/// depend on the other rows.
struct Moe {
  struct Expert {
    Linear gate_up;  // rows: gate, up
    Linear down;
  };
  Linear gate;  // [experts, hidden], in f32
  std::vector<Expert> experts;
  kernels::RouteArgs routing;
  const Parameter* bias = nullptr;  // of the choice
  ExpertLoads loads;                // of all that forward() ran

  /// x [n, hidden], already normed -> [n, hidden].
  Tensor forward(const Context& context, const Tensor& x) const;
};

}  // namespace minke
