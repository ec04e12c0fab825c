#include "minke/models/model.h"

namespace minke {

Tensor Model::loss(const Context& context, const ForwardBatch& batch,
                   std::span<const int32_t> targets, double divisor) const {
  return ops::cross_entropy(context, forward(context, batch), targets, divisor);
}

Tensor Model::log_probs(const Context& context, const ForwardBatch& batch,
                        std::span<const int32_t> targets) const {
  return ops::log_probs(context, forward(context, batch), targets);
}

Tensor Model::kept(const Context& context, const RecomputedFn& block) const {
  if (recompute_ == Recompute::kBlocks) return recompute(context, block);
  return block({context.device, context.tape, recompute_ == Recompute::kActivations});
}

}  // namespace minke
