#include "minke/cli/evaluation_tasks.h"

#include <algorithm>
#include <filesystem>

#include "minke/base/files.h"
#include "minke/eval/samples.h"

namespace minke {
namespace {

// The parts between separators that are not empty.
std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) parts.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

Result<EvaluationTasks> EvaluationTasks::create(const TrainingConfig& config,
                                                int64_t context_tokens) {
  EvaluationTasks tasks;
  tasks.context_tokens_ = context_tokens;
  tasks.sample_tokens_ = static_cast<int>(config.sample_tokens);
  tasks.seed_ = config.seed;
  for (const std::string& path : split(config.tasks, ',')) {
    MK_ASSIGN(auto questions, read_choice_questions(path));
    tasks.tasks_.emplace_back("task_" + std::filesystem::path(path).stem().string(),
                              std::move(questions));
  }
  if (config.samples.empty()) return tasks;
  MK_ASSIGN(const std::string text, read_file(config.samples));
  tasks.prompts_ = split(text, '\n');
  if (tasks.prompts_.empty()) {
    return fail(ErrorCode::kUsage, "{} has no prompts: expected one a line", config.samples);
  }
  return tasks;
}

Result<void> EvaluationTasks::add_to(Evaluation& result, const Device& device, const Model& model,
                                     const Tokenizer& tokenizer) const {
  const auto window = static_cast<int>(context_tokens_);
  if (!tasks_.empty()) {
    MK_ASSIGN(Scorer scorer, Scorer::create(device, model, DType::kF32, window));
    for (const auto& [name, questions] : tasks_) {
      MK_ASSIGN(const ChoiceScore score, score_choices(tokenizer, questions, scorer, window));
      result.metrics.push_back({name, score.accuracy()});
    }
  }
  SampleOptions options{sample_tokens_, context_tokens_, {}};
  options.sampling.seed = seed_;
  MK_ASSIGN(const std::vector<Sample> samples,
            draw_samples(device, model, tokenizer, prompts_, options));
  for (const Sample& sample : samples) {
    result.samples.push_back(Json::object({{"prompt", sample.prompt}, {"text", sample.text}}));
  }
  return {};
}

}  // namespace minke
