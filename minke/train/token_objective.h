#pragma once
#include "minke/data/batch.h"
#include "minke/models/model.h"
#include "minke/train/objective.h"

namespace minke {

/// The batch as the model's forward reads it, without a cache.
ForwardBatch forward_batch(const TokenBatch& batch);

/// Predicting the next token: pretraining, and fine-tuning where the source masks what is not to be
/// learnt. The loss is the mean of -ln p(target) over the targets of the whole batch.
class TokenObjective final : public Objective {
 public:
  /// Both must outlive it.
  TokenObjective(const Model& model, const BatchSource& source) : model_(model), source_(source) {}

  /// kUsage for a batch without a target.
  Result<StepSize> begin_step(int64_t step) override;
  Tensor loss(const Context& context, int64_t begin, int64_t end) override;

 private:
  const Model& model_;
  const BatchSource& source_;
  TokenBatch batch_;
  double num_targets_ = 0;
  // Of the micro-batch: ops read positions and targets until they were passed backwards.
  ForwardBatch inputs_;
  std::vector<int32_t> targets_;
};

}  // namespace minke
