#include "minke/train/token_objective.h"

#include <utility>

namespace minke {

ForwardBatch forward_batch(const TokenBatch& batch) {
  ForwardBatch out;
  out.tokens = batch.tokens;
  out.positions = batch.positions;
  out.lengths = batch.lengths;
  return out;
}

Result<StepSize> TokenObjective::begin_step(int64_t step) {
  MK_ASSIGN(batch_, source_.batch(step));
  const int64_t num_targets = batch_.num_targets();
  if (num_targets == 0) {
    return fail(ErrorCode::kUsage,
                "step {}: all {} tokens of the batch are masked: nothing could be learnt from it",
                step, batch_.num_tokens());
  }
  num_targets_ = static_cast<double>(num_targets);
  return StepSize{batch_.num_rows(), batch_.num_tokens(), num_targets};
}

Tensor TokenObjective::loss(const Context& context, int64_t begin, int64_t end) {
  TokenBatch rows = batch_.rows(begin, end);
  inputs_ = forward_batch(rows);
  targets_ = std::move(rows.targets);
  return model_.loss(context, inputs_, targets_, num_targets_);
}

}  // namespace minke
