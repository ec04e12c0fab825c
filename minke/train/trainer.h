#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "minke/nn/parameter.h"
#include "minke/train/objective.h"
#include "minke/train/optimizer.h"
#include "minke/train/trained_tensor.h"

namespace minke {

/// What one step found.
struct StepReport {
  int64_t step = 0;      ///< from 0
  double loss = 0;       ///< before the step's change of the weights
  double grad_norm = 0;  ///< of all gradients, before clipping
  StepSize size;
  std::vector<StepMetric> metrics;
};

/// How a step is taken.
struct TrainerOptions {
  double clip_norm = 1.0;   ///< gradients are scaled to at most this norm; 0: never
  int64_t micro_batch = 0;  ///< units of a batch that are computed at once; 0: all
};

/// Changes weights by steps, whatever the stage: full weights or LoRA's, any objective.
///
/// A step: 1. compute() runs forward and backward over the micro-batches of the objective's batch,
/// whose gradients add up; 2. the caller looks at loss and norm; 3. apply() clips, lets the
/// optimizer change the weights and raises the store's version, or drop() forgets the gradients.
///
/// The bits depend on weights, state, batch and micro_batch, never on threads or on how often the
/// run was interrupted.
class Trainer {
 public:
  /// `store` owns the weights of `tensors`; both it and the device must outlive the trainer.
  Trainer(const Device& device, ParameterStore& store, std::vector<TrainedTensor> tensors,
          std::unique_ptr<Optimizer> optimizer, const TrainerOptions& options);

  /// Errors are the objective's; there are no gradients then.
  Result<StepReport> compute(Objective& objective, int64_t step);
  void apply(const StepReport& report, double learning_rate);
  void drop();

  const Device& device() const { return device_; }
  const ParameterStore& store() const { return store_; }
  std::span<const TrainedTensor> tensors() const { return tensors_; }
  /// To be called by who changes them otherwise.
  void weights_changed() { store_.changed(); }
  void set_micro_batch(int64_t units) { options_.micro_batch = units; }
  Optimizer& optimizer() { return *optimizer_; }
  const TrainerOptions& options() const { return options_; }

 private:
  const Device& device_;
  ParameterStore& store_;
  std::vector<TrainedTensor> tensors_;
  std::unique_ptr<Optimizer> optimizer_;
  TrainerOptions options_;
};

/// All weights of the store that can be trained, in its order.
std::vector<TrainedTensor> trained_tensors(const ParameterStore& store);

}  // namespace minke
