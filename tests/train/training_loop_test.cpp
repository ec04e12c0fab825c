// Goal: the loop skips, rolls back, stops early, keeps the best and resumes as it says. Method: one
// row of logits as the model, an objective whose loss is no number at chosen steps.
#include "minke/train/training_loop.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>

#include "minke/base/files.h"
#include "minke/ops/ops.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// -ln p(target) of softmax(weight); a step in `bad` has a loss that is no number.
class OneRow final : public Objective {
 public:
  OneRow(const Tensor& weight, std::set<int64_t> bad) : weight_(weight), bad_(std::move(bad)) {}
  Result<StepSize> begin_step(int64_t step) override {
    divisor_ = bad_.contains(step) ? 1e-320 : 1.0;  // the loss is infinite then
    targets_ = {static_cast<int32_t>(step % 3)};
    return StepSize{1, 1, 1};
  }
  Tensor loss(const Context& context, int64_t, int64_t) override {
    return ops::cross_entropy(context, context.tape->watch(weight_), targets_, divisor_);
  }

 private:
  Tensor weight_;
  std::set<int64_t> bad_;
  double divisor_ = 1;
  std::vector<int32_t> targets_;
};

// A model of four numbers, and what is around it.
struct Training {
  explicit Training(std::set<int64_t> bad = {}) : objective(weight, std::move(bad)) {
    config.steps = 12;
    config.eval_every = 2;
    config.save_every = 4;
    config.spike = 0;
    config.schedule.schedule = "constant";
    config.schedule.learning_rate = 0.1;
  }

  Result<TrainingSummary> run(RunFolder* folder, const fs::path& resumed = {}) {
    const Schedule schedule = *Schedule::create(config.schedule, config.steps);
    Trainer trainer(*device, store, {{weight, {}, false, "w"}}, make_adamw({}), {});
    TrainingTask task;
    task.objective = &objective;
    if (!losses.empty()) {
      task.evaluate = [this]() -> Result<Evaluation> {
        Evaluation result;
        result.loss = losses[std::min(num_evaluations++, losses.size() - 1)];
        return result;
      };
    }
    task.write_weights = [this](const fs::path& path) {
      return write_file_atomic(path / "weights", bytes());
    };
    task.read_weights = [this](const fs::path& path) { return read(path); };
    TrainingHooks hooks;
    hooks.note = [this](const std::string& text) { notes.push_back(text); };
    hooks.on_step = [this](const StepNews& news) { last_step = news.report->step; };
    hooks.is_stop_wanted = [this] { return last_step + 1 == stop_after; };
    TrainingLoop loop(config, schedule, trainer, std::move(task), folder, std::move(hooks));
    if (!resumed.empty()) {
      MK_TRY(read(resumed));
      MK_ASSIGN(const TrainerState state, read_trainer_state(resumed));
      MK_TRY(loop.resume(state));
    }
    return loop.run();
  }
  Result<void> read(const fs::path& path) {
    MK_ASSIGN(const std::string text, read_file(path / "weights"));
    std::memcpy(weight.view().data, text.data(), text.size());
    return {};
  }
  std::string bytes() const { return {reinterpret_cast<const char*>(weight.view().data), 16}; }

  std::unique_ptr<Device> device = *Device::create({1, false, {}});
  ParameterStore store;
  Tensor weight = Tensor::zeros(DType::kF32, {1, 4});
  OneRow objective;
  TrainingConfig config;
  std::vector<double> losses;  // of the evaluations
  size_t num_evaluations = 0;
  int64_t last_step = -1;
  int64_t stop_after = -1;
  std::vector<std::string> notes;
};

RunFolder new_run(const fs::path& path) { return *RunFolder::create(path, {"pretrain"}); }

TEST(TrainingLoop, SkipsAStepThatIsNoNumber) {
  Training with, without;
  with.config.steps = without.config.steps = 3;
  ASSERT_TRUE(without.run(nullptr));
  Training bad({3});
  bad.config.steps = 4;
  const auto summary = bad.run(nullptr);
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->skipped_steps, 1);
  EXPECT_EQ(bad.bytes(), without.bytes());
  ASSERT_EQ(bad.notes.size(), 1u);
  EXPECT_EQ(bad.notes[0], "step 3 is skipped: the loss is inf");
}

TEST(TrainingLoop, RollsBackAfterManySkips) {
  const ScratchFolder folder;
  RunFolder run = new_run(folder.path() / "run");
  Training training({6, 7});
  training.config.skips = 2;
  const auto summary = training.run(&run);
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(summary->rollbacks, 1);
  EXPECT_EQ(summary->skipped_steps, 2);
  // The steps that count are 0 to 3, from whose checkpoint on 8 to 11 follow.
  Training expected({4, 5, 6, 7});
  expected.config.skips = 100;
  ASSERT_TRUE(expected.run(nullptr));
  EXPECT_EQ(training.bytes(), expected.bytes());
}

TEST(TrainingLoop, GivesUpWhereNothingButSkipsComes) {
  Training training({0, 1, 2, 3, 4, 5});
  training.config.skips = 3;
  const auto summary = training.run(nullptr);
  ASSERT_FALSE(summary);
  EXPECT_EQ(summary.error().code, ErrorCode::kFailed);
  EXPECT_NE(summary.error().message.find("there is no checkpoint to go back to"),
            std::string::npos);
}

TEST(TrainingLoop, StopsEarlyAndKeepsTheBest) {
  const ScratchFolder folder;
  RunFolder run = new_run(folder.path() / "run");
  Training training;
  training.config.steps = 100;
  training.config.patience = 3;
  training.config.keep = 1;
  training.losses = {3, 2, 2.5, 2.1, 2.2};
  const auto summary = training.run(&run);
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_TRUE(summary->stopped_early);
  EXPECT_EQ(summary->steps, 10);
  EXPECT_EQ(summary->best_step, 4);
  EXPECT_EQ(CheckpointFolder(run.checkpoints()).steps(), (std::vector<int64_t>{4, 10}));
}

TEST(TrainingLoop, ResumesToTheBit) {
  const ScratchFolder folder;
  Training whole({2});
  whole.config.ema = 0.9;
  whole.losses = {1};
  RunFolder first = new_run(folder.path() / "whole");
  ASSERT_TRUE(whole.run(&first));
  RunFolder second = new_run(folder.path() / "stopped");
  Training stopped({2});
  stopped.config.ema = 0.9;
  stopped.losses = {1};
  stopped.stop_after = 5;
  const auto interrupted = stopped.run(&second);
  ASSERT_FALSE(interrupted);
  EXPECT_EQ(interrupted.error().code, ErrorCode::kInterrupted);
  Training resumed({2});
  resumed.config.ema = 0.9;
  resumed.losses = {1};
  const CheckpointFolder checkpoints(second.checkpoints());
  ASSERT_EQ(checkpoints.steps().back(), 5);
  const auto summary = resumed.run(&second, checkpoints.path_of(5));
  ASSERT_TRUE(summary) << summary.error().message;
  EXPECT_EQ(resumed.bytes(), whole.bytes());
  EXPECT_EQ(summary->skipped_steps, 1);
  for (const char* file :
       {"checkpoints/step-000012/trainer_state.safetensors", "average/weights"}) {
    EXPECT_EQ(*read_file(folder.path() / "stopped" / file),
              *read_file(folder.path() / "whole" / file))
        << file;
  }
}

}  // namespace
}  // namespace minke
