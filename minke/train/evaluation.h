#pragma once
#include <cstdint>

#include "minke/base/json.h"
#include "minke/data/batch.h"
#include "minke/models/model.h"
#include "minke/train/objective.h"

namespace minke {

/// How well a model predicts texts that it was not trained on.
struct Evaluation {
  double loss = 0;           ///< mean of -ln p(target), or the stage's own
  double perplexity = 0;     ///< exp(loss); 0: the loss is of another kind
  double bits_per_byte = 0;  ///< comparable between tokenizers; 0: the texts' bytes are unknown
  int64_t targets = 0;
  /// What else the stage found out, under the metrics' keys ("task_arc"); and what the model said,
  /// as lines of samples.jsonl without their step.
  std::vector<StepMetric> metrics{};
  Json::Array samples{};
};

/// What is evaluated, and how.
struct EvaluationOptions {
  int64_t num_batches = 1;      ///< of the source, from its first on
  int64_t micro_batch = 0;      ///< rows at once; 0: all of a batch
  double bytes_per_target = 0;  ///< of the texts, in the mean; 0: unknown
};

/// Evaluates the model on the first batches of the source, at most one pass. Sums are in f64 in the
/// batches' order. Errors are the source's; kUsage where no token has a target.
Result<Evaluation> evaluate(const Device& device, const Model& model, const BatchSource& source,
                            const EvaluationOptions& options);

}  // namespace minke
