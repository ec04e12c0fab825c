#pragma once
#include <string>
#include <utility>
#include <vector>

#include "minke/eval/choice.h"
#include "minke/train/evaluation.h"
#include "minke/train/training_config.h"

namespace minke {

/// What evaluations do beside the loss, as the settings `tasks`, `samples` and `sample_tokens` say:
/// questions, and prompts that the model goes on with.
class EvaluationTasks {
 public:
  /// Reads the files, so that what is wrong with them is told before the training. `context_tokens`
  /// are those that the model is prepared for. kUsage as read_choice_questions().
  static Result<EvaluationTasks> create(const TrainingConfig& config, int64_t context_tokens);

  bool empty() const { return tasks_.empty() && prompts_.empty(); }
  /// Asks the model as its weights are: the accuracy of each task goes to `result` as "task_" and
  /// the name of its file, the samples as {"prompt", "text"}. The samples of all evaluations are
  /// drawn with the same seed.
  Result<void> add_to(Evaluation& result, const Device& device, const Model& model,
                      const Tokenizer& tokenizer) const;

 private:
  std::vector<std::pair<std::string, std::vector<ChoiceQuestion>>> tasks_;
  std::vector<std::string> prompts_;
  int64_t context_tokens_ = 0;
  int sample_tokens_ = 0;
  uint64_t seed_ = 0;
};

}  // namespace minke
