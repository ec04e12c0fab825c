#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/runs/event_file.h"
#include "minke/runs/line_file.h"

namespace minke {

/// How a run stands; the words of status.json are the names without k, in small letters.
enum class RunState { kRunning, kFinished, kInterrupted, kFailed };
const char* run_state_name(RunState state);

/// What a run is begun with.
struct RunStart {
  std::string stage;        ///< "pretrain", "sft", "dpo"
  Json config{};            ///< every setting as it holds, with its defaults
  Json environment{};       ///< run_environment(), and what the stage knows beside
  bool event_file = false;  ///< metrics go to a TensorBoard event file, too
};

/// The folder of a training run, as it is written:
///
///   config.json        {"stage": ..., "config": {...}}
///   environment.json   {"sessions": [{"from_step": ..., "started": ..., ...}]}: one a start or
///                      resumption
///   metrics.jsonl      {"step": N, "time": unix seconds, "loss": ..., ...}: a line a step,
///                      and one an evaluation ("val_loss", ...)
///   samples.jsonl      {"step": N, "prompt": ..., "text": ...}
///   status.json        {"state": "running", "step": N, "message": ...}
///   checkpoints/       the trainer's
///   events.out.tfevents.*   on request
///
/// "step" counts the steps that are done. One process at a time writes to a folder.
class RunFolder {
 public:
  /// Begins a run in `folder`, which is made. kUsage when there is a run in it.
  static Result<RunFolder> create(const std::filesystem::path& folder, const RunStart& start);
  /// Goes on with one after `last_step`, the step of the checkpoint: metrics and samples of later
  /// steps are dropped. config.json is written anew. kNotFound when there is no run in it.
  static Result<RunFolder> resume(const std::filesystem::path& folder, const RunStart& start,
                                  int64_t last_step);

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path checkpoints() const { return folder_ / "checkpoints"; }

  /// Appends a line, with "time" added. `metrics` is an object with a "step". kWillNotFit when the
  /// disk is full, here and below.
  Result<void> add_metrics(Json metrics);
  Result<void> add_sample(Json sample);
  Result<void> set_status(RunState state, int64_t step, const std::string& message = "");
  /// Puts all lines on the disk: to be called before a checkpoint counts as saved.
  Result<void> sync();

 private:
  RunFolder(std::filesystem::path folder, LineFile metrics, LineFile samples)
      : folder_(std::move(folder)), metrics_(std::move(metrics)), samples_(std::move(samples)) {}
  static Result<RunFolder> open(const std::filesystem::path& folder);
  Result<void> begin_session(const RunStart& start, int64_t from_step);

  std::filesystem::path folder_;
  LineFile metrics_;
  LineFile samples_;
  std::optional<EventFile> events_;
};

/// Where runs go by default: in minke's folder of states.
std::filesystem::path default_runs_folder();

/// A folder for a new run below `runs`, named after its stage and the time (UTC), such as
/// "pretrain-20261124-183005", with "-2" and so on where there is one.
std::filesystem::path new_run_path(const std::filesystem::path& runs, std::string_view stage);

/// minke's version, the CPU, its number of threads, the memory, and the command line.
Json run_environment(int num_threads, const std::string& kernels, const std::string& command_line);

}  // namespace minke
