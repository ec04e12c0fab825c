#include "minke/train/evaluation.h"

#include <algorithm>
#include <cmath>

#include "minke/train/token_objective.h"

namespace minke {

Result<Evaluation> evaluate(const Device& device, const Model& model, const BatchSource& source,
                            const EvaluationOptions& options) {
  const Context context{device};
  const int64_t num_batches = std::min(options.num_batches, source.steps_per_epoch());
  Evaluation result;
  double nats = 0;
  for (int64_t step = 0; step < num_batches; ++step) {
    MK_ASSIGN(const TokenBatch batch, source.batch(step));
    const int64_t rows = batch.num_rows();
    const int64_t at_once = options.micro_batch > 0 ? options.micro_batch : rows;
    for (int64_t begin = 0; begin < rows; begin += at_once) {
      const TokenBatch part = batch.rows(begin, std::min(begin + at_once, rows));
      const int64_t targets = part.num_targets();
      if (targets == 0) continue;
      const auto count = static_cast<double>(targets);
      const Tensor loss = model.loss(context, forward_batch(part), part.targets, count);
      nats += static_cast<double>(*loss.data<float>()) * count;
      result.targets += targets;
    }
  }
  if (result.targets == 0) {
    return fail(ErrorCode::kUsage, "the validation data has no token to predict");
  }
  result.loss = nats / static_cast<double>(result.targets);
  result.perplexity = std::exp(result.loss);
  if (options.bytes_per_target > 0) {
    result.bits_per_byte = result.loss / std::log(2.0) / options.bytes_per_target;
  }
  return result;
}

}  // namespace minke
