#pragma once
#include <span>
#include <vector>

#include "minke/train/optimizer.h"

namespace minke {

/// An exponential moving average of the weights (DeepSeek-V3, section 3.2.3, keeps one to see early
/// how a model does after its rate has decayed):
///
///   average = decay average + (1 - decay) weight        after each step
///
/// in f32, beginning with the weights that it first sees. The tensors are those of the optimizer,
/// in their order.
class WeightAverage {
 public:
  explicit WeightAverage(double decay);

  void update(const Device& device, std::span<const TrainedTensor> tensors);
  /// Exchanges weights and averages: once to evaluate or save the average, once more to go on. The
  /// caller says that the weights changed (ParameterStore::changed()).
  void swap(const Device& device, std::span<const TrainedTensor> tensors);

  /// As an optimizer's; num_steps counts the updates.
  OptimizerState state() const;
  Result<void> load_state(std::span<const TrainedTensor> tensors, const OptimizerState& state);

 private:
  double decay_;
  int64_t num_updates_ = 0;
  std::vector<std::string> names_;
  std::vector<Tensor> averages_;
};

}  // namespace minke
