#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "minke/autograd/context.h"
#include "minke/base/result.h"

namespace minke {

/// How large the batch of a step is.
struct StepSize {
  int64_t units = 0;    ///< between which micro-batches are cut: rows, or pairs of answers
  int64_t tokens = 0;   ///< that the model reads, for tokens/s
  int64_t targets = 0;  ///< of which the loss is made
};

/// A number that a stage tells of a step besides the loss, under the name of its metrics' key.
struct StepMetric {
  std::string name;
  double value = 0;
};

/// What a stage minimises: a loss over the batch of a step, cut into micro-batches. One thread.
///
/// Life of a step: 1. begin_step() makes its batch; 2. loss() is asked for one range of units after
/// the other, and after each the trainer runs backwards; 3. metrics() tells of the whole step.
class Objective {
 public:
  virtual ~Objective() = default;
  /// Errors: those of the data, and kUsage for a batch that nothing can be learnt from.
  virtual Result<StepSize> begin_step(int64_t step) = 0;
  /// The part that units [begin, end) have in the step's loss, a scalar on the context's tape: the
  /// parts add up to the loss, so each is divided by what the whole batch has (its targets, its
  /// pairs), never by what the micro-batch has.
  virtual Tensor loss(const Context& context, int64_t begin, int64_t end) = 0;
  virtual std::vector<StepMetric> metrics() const { return {}; }
};

}  // namespace minke
