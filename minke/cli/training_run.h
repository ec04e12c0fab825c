#pragma once
#include <functional>

#include "minke/cli/console.h"
#include "minke/cli/training_flags.h"
#include "minke/train/checkpoint.h"
#include "minke/train/training_loop.h"

namespace minke {

/// Where a training begins: a checkpoint of the run to be resumed, or the stage's start.
struct TrainingStart {
  std::filesystem::path checkpoint;  ///< empty: from the start
  std::optional<TrainerState> state;
};

/// Finds the last whole checkpoint of --resume's run. Its weights are to be loaded in place of the
/// stage's. A run that was stopped before its first one begins anew.
Result<TrainingStart> find_start(const TrainingFlags& flags);

/// What a stage gives run_training().
struct TrainingStage {
  TrainingTask task;
  Json config = Json::object();  ///< every setting, and "model" where the recipe has one
  int64_t unit_tokens = 0;       ///< the most that a row (or pair) has
  bool writes_run = true;        ///< a run folder even where none is named
  /// Puts what checkpoints are completed with into the run's folder, whenever the run starts.
  std::function<Result<void>(const std::filesystem::path& run)> prepare_run;
};

/// What all training commands do with a trainer: plans memory and chooses the micro-batch (or tells
/// the plan and ends, --dry-run), opens the run's folder, trains, shows, and says where all went
/// and how to go on. The trainer has the start's weights already.
///
/// Errors: as TrainingLoop::run() and RunFolder; an interrupted one names the command that resumes.
Result<void> run_training(const Console& console, const TrainingFlags& flags,
                          const TrainingConfig& config, Trainer& trainer, TrainingStage stage,
                          const TrainingStart& start);

}  // namespace minke
