#pragma once
#include <cstdint>

#include "minke/train/trainer.h"

namespace minke {

/// What a training takes of this machine. Weights, gradients and state are exact, what a row takes
/// is measured by a forward and a backward of the first one.
struct MemoryPlan {
  int64_t num_parameters = 0;  ///< of the model
  int64_t num_trained = 0;
  uint64_t weight_bytes = 0;
  uint64_t gradient_bytes = 0;
  uint64_t optimizer_bytes = 0;
  uint64_t average_bytes = 0;
  uint64_t row_bytes = 0;    ///< of one row (or pair) of full length between forward and backward
  int64_t micro_batch = 0;   ///< rows at once
  uint64_t total_bytes = 0;  ///< the most that is held at once
  uint64_t budget_bytes = 0;
  double seconds_per_step = 0;  ///< from the time of that row
};

/// What to plan for.
struct MemoryPlanOptions {
  int64_t micro_batch = 0;    ///< as wanted; 0: to be chosen
  int64_t unit_tokens = 0;    ///< the most that a row (or pair) has
  uint64_t budget_bytes = 0;  ///< for all of it; 0: unknown
  bool has_average = false;
};

/// Chooses the micro-batch: rows of together about a thousand tokens, at which matmuls are near
/// their best speed and above which only memory grows; fewer where the budget is small. No weight
/// changes. Errors are the objective's; kWillNotFit, with what would help, where not even one row
/// fits.
Result<MemoryPlan> plan_memory(Trainer& trainer, Objective& objective,
                               const MemoryPlanOptions& options);

}  // namespace minke
