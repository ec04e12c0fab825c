#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "minke/runs/run_folder.h"
#include "minke/train/checkpoint.h"
#include "minke/train/ema.h"
#include "minke/train/evaluation.h"
#include "minke/train/step_guard.h"
#include "minke/train/trainer.h"
#include "minke/train/training_config.h"

namespace minke {

/// What a stage gives the loop beside its trainer.
struct TrainingTask {
  Objective* objective = nullptr;
  /// Empty: nothing is evaluated.
  std::function<Result<Evaluation>()> evaluate;
  /// Writes the weights, and what else makes a model's folder, into a folder that exists; and takes
  /// the weights of one back.
  std::function<Result<void>(const std::filesystem::path& folder)> write_weights;
  std::function<Result<void>(const std::filesystem::path& folder)> read_weights;
  // For MFU, the share of the machine's peak that the model's arithmetic has; 0: unknown.
  double flops_per_token = 0;   ///< of a step
  double flops_per_second = 0;  ///< of the machine, at most
};

/// What is told of a step, done or skipped.
struct StepNews {
  const StepReport* report = nullptr;
  double learning_rate = 0;
  double seconds = 0;
  double tokens_per_second = 0;  ///< of the last steps
  double seconds_left = 0;
  double mfu = 0;  ///< 0: unknown
  bool is_skipped = false;
};

/// How the loop talks to who runs it. All may be empty.
struct TrainingHooks {
  std::function<void(const StepNews&)> on_step;
  std::function<void(int64_t steps_done, const Evaluation&)> on_evaluation;
  std::function<void(const std::string&)> note;  ///< a line for people
  std::function<bool()> is_stop_wanted;          ///< asked after each step
};

/// What a run came to.
struct TrainingSummary {
  int64_t steps = 0;                     ///< that are done, skipped ones included
  double loss = 0;                       ///< of the last step
  std::optional<Evaluation> evaluation;  ///< the last one
  int64_t best_step = -1;                ///< of the best evaluation; -1: none
  double best_loss = 0;
  int64_t skipped_steps = 0;
  int64_t rollbacks = 0;
  bool stopped_early = false;
  std::filesystem::path checkpoint;  ///< the last one; empty without a run folder
  std::filesystem::path average;     ///< the model with averaged weights, where that was wanted
};

/// Steps, evaluations and checkpoints in their order:
///
///   step -> guard -> metrics -> evaluation if it is due -> checkpoint if due, or asked to stop
///
/// The guard skips a step whose loss or norm is no number, or far above those of the last steps
/// (its weights and the optimizer stay as they were); after so many in a row it takes back weights
/// and optimizer of the last checkpoint and goes on with the next data. All of it is part of the
/// saved state, so that a resumed run is the same to the bit.
class TrainingLoop {
 public:
  /// Without `run` (null) nothing is written. All must outlive the loop.
  TrainingLoop(const TrainingConfig& config, const Schedule& schedule, Trainer& trainer,
               TrainingTask task, RunFolder* run, TrainingHooks hooks);

  /// Goes on after a checkpoint, whose weights the trainer has already.
  Result<void> resume(const TrainerState& state);
  /// kInterrupted when asked to stop, after a checkpoint (with a run folder); kWillNotFit when the
  /// disk is full, the last checkpoint intact; kFailed when nothing but skipped steps comes.
  Result<TrainingSummary> run();

 private:
  Result<void> step();
  /// Takes the step, or skips it; whether it was taken.
  Result<bool> take(const StepReport& report, double learning_rate);
  Result<void> roll_back();
  Result<void> tell(const StepReport& report, StepNews news);
  Result<void> evaluate();
  Result<Evaluation> evaluate_weights();
  void swap_average();
  Result<void> write_average();
  bool save_is_due() const;
  Result<void> save();
  /// Tells people, and marks it in the metrics.
  Result<void> tell_event(const char* event, const std::string& text) const;

  const TrainingConfig& config_;
  const Schedule& schedule_;
  Trainer& trainer_;
  TrainingTask task_;
  RunFolder* run_;
  TrainingHooks hooks_;
  CheckpointFolder checkpoints_;

  // What a checkpoint carries.
  int64_t step_ = 0;  // done
  StepGuard guard_;
  std::optional<WeightAverage> average_;  // where one is wanted
  int64_t tokens_ = 0;                    // read so far
  double seconds_ = 0;                    // of all steps so far
  int64_t skipped_in_a_row_ = 0;
  int64_t evaluations_without_better_ = 0;
  TrainingSummary summary_;  // in parts

  int64_t saved_step_ = -1;
  double saved_at_;
  double seconds_per_step_ = 0;
};

}  // namespace minke
