// Goal: evaluations ask the questions and prompts that the settings name, and bad ones are told of
// before training begins. Method: a tiny new model and files in a scratch folder.
#include "minke/cli/evaluation_tasks.h"

#include <gtest/gtest.h>

#include <fstream>

#include "minke/models/new_model.h"
#include "tests/hub/scratch_folder.h"
#include "tests/text/tiny_vocabulary.h"

namespace minke {
namespace {

constexpr const char* kConfig = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
  "vocab_size": 256, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
  "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "rms_norm_eps": 1e-5,
  "rope_theta": 10000.0, "max_position_embeddings": 64, "tie_word_embeddings": true})";

class EvaluationTasksTest : public testing::Test {
 protected:
  std::string write(const char* name, const std::string& text) const {
    const auto path = scratch_.path() / name;
    std::ofstream(path) << text;
    return path.string();
  }
  ScratchFolder scratch_;
};

TEST_F(EvaluationTasksTest, GiveAnAccuracyATaskAndASampleAPrompt) {
  const Device device(2, false, CpuLevel::kRef);
  const auto model = new_model(device, kConfig, {.seed = 5, .context_tokens = 32});
  ASSERT_TRUE(model) << model.error().message;
  const auto tokenizer = tokenizer_of(TinyVocabulary());
  ASSERT_TRUE(tokenizer);
  TrainingConfig config;
  // One of two equal choices wins, so exactly one of the two questions is answered right.
  const std::string line = R"({"context": "x", "choices": ["a", "a"], "answer": )";
  config.tasks =
      write("arc.jsonl", line + "0}\n" + line + "1}\n") + "," + write("all.jsonl", line + "0}\n");
  config.samples = write("prompts.txt", "Once\n\nupon a time\n");
  config.sample_tokens = 5;
  const auto tasks = EvaluationTasks::create(config, 32);
  ASSERT_TRUE(tasks) << tasks.error().message;
  Evaluation first, second;
  ASSERT_TRUE(tasks->add_to(first, device, **model, *tokenizer));
  ASSERT_TRUE(tasks->add_to(second, device, **model, *tokenizer));
  ASSERT_EQ(first.metrics.size(), 2u);
  EXPECT_EQ(first.metrics[0].name, "task_arc");
  EXPECT_EQ(first.metrics[0].value, 0.5);
  EXPECT_EQ(first.metrics[1].name, "task_all");
  EXPECT_EQ(first.metrics[1].value, 1.0);
  ASSERT_EQ(first.samples.size(), 2u);
  EXPECT_EQ(first.samples[1].find("prompt")->as_string(), "upon a time");
  EXPECT_EQ(first.samples[1].dump(), second.samples[1].dump());
}

TEST_F(EvaluationTasksTest, NothingIsAskedWithoutSettingsAndBadFilesAreErrors) {
  TrainingConfig config;
  EXPECT_TRUE(EvaluationTasks::create(config, 32)->empty());
  config.tasks = write("bad.jsonl", "{}\n");
  EXPECT_EQ(EvaluationTasks::create(config, 32).error().code, ErrorCode::kUsage);
  config.tasks = "/nowhere.jsonl";
  EXPECT_EQ(EvaluationTasks::create(config, 32).error().code, ErrorCode::kNotFound);
  config.tasks.clear();
  config.samples = write("empty.txt", "\n");
  EXPECT_EQ(EvaluationTasks::create(config, 32).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace minke
