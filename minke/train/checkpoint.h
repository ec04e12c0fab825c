#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "minke/base/json.h"
#include "minke/train/optimizer.h"

namespace minke {

/// A folder of checkpoints. Each is a model's folder as Hugging Face's, which minke serve and
/// transformers load, with two files more:
///
///   checkpoints/
///     step-000200/
///       config.json, tokenizer.json, ...   those of the run's model folder
///       model.safetensors                  the weights in f32 (or shards of it, or a PEFT adapter)
///       trainer_state.safetensors          what the optimizer remembers, averages of weights
///       trainer_state.json                 {"version": 1, "step": 200, ...}: all else
///     step-000300.k3x9ab/                  one that was being written when the process died
///
/// A checkpoint gets its name when all of its bytes are on the disk, and loses it before the first
/// of them is deleted: what has a name without an ending is whole.
class CheckpointFolder {
 public:
  /// The folder is made when the first checkpoint is written.
  explicit CheckpointFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// The steps of those that are whole, ascending.
  std::vector<int64_t> steps() const;
  std::filesystem::path path_of(int64_t step) const;
  /// Deletes what is not whole. Only one process may have the run.
  void remove_remains() const;
  /// Deletes all whole ones but the last `keep_last` and those named.
  void keep(int64_t keep_last, const std::vector<int64_t>& named) const;

 private:
  std::filesystem::path folder_;
};

/// What a trainer's state is on disk.
struct TrainerState {
  int64_t step = 0;                            ///< steps that are done
  OptimizerState optimizer;                    ///< its tensors are saved as "optimizer.NAME"
  std::vector<OptimizerState::Entry> tensors;  ///< further ones: averages of weights
  Json rest = Json::object();                  ///< what the loop remembers
};

/// A checkpoint on its way: files are put into path(), then commit() syncs all and names it.
/// Without a commit nothing is left behind. Errors here: kWillNotFit when the disk is full.
class CheckpointWriter {
 public:
  static Result<CheckpointWriter> create(const std::filesystem::path& target);
  CheckpointWriter(CheckpointWriter&& other) noexcept;
  CheckpointWriter& operator=(CheckpointWriter&&) = delete;
  ~CheckpointWriter();

  const std::filesystem::path& path() const { return temporary_; }
  Result<void> write_state(const TrainerState& state) const;
  Result<void> commit();

 private:
  CheckpointWriter(std::filesystem::path target, std::filesystem::path temporary)
      : target_(std::move(target)), temporary_(std::move(temporary)) {}
  std::filesystem::path target_;
  std::filesystem::path temporary_;  // empty once committed
};

/// Reads the state of a checkpoint; its tensors lie in the file's map. kCorrupt for what is no
/// state of this version.
Result<TrainerState> read_trainer_state(const std::filesystem::path& checkpoint);

}  // namespace minke
