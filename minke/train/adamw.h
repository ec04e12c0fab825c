#pragma once
#include "minke/train/optimizer.h"

namespace minke {

/// make_adamw()'s class, of which Muon has one inside.
class AdamW final : public Optimizer {
 public:
  explicit AdamW(const AdamWConfig& config);

  void step(const Device& device, std::span<const TrainedTensor> tensors,
            const OptimizerStep& step) override;
  int64_t num_steps() const override { return num_steps_; }
  uint64_t state_bytes(std::span<const TrainedTensor> tensors) const override;
  OptimizerState state() const override;
  Result<void> load_state(std::span<const TrainedTensor> tensors,
                          const OptimizerState& state) override;

 private:
  AdamWConfig config_;
  int64_t num_steps_ = 0;
  std::vector<std::string> names_;
  std::vector<Tensor> first_;  // moments, in the order of the tensors
  std::vector<Tensor> second_;
};

}  // namespace minke
