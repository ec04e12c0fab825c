// Goal: a checkpoint is there whole or not at all, and gives back what was saved. Method: round
// trips in a scratch folder, and remains as a killed process leaves them.
#include "minke/train/checkpoint.h"

#include <gtest/gtest.h>

#include "minke/base/files.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

Tensor numbers(DType dtype, int64_t count) {
  Tensor tensor = Tensor::zeros(dtype, {count});
  std::byte* bytes = tensor.view().data;
  for (int64_t i = 0; i < dtype_bytes(dtype, count); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  return tensor;
}

bool same_bytes(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  const auto count = static_cast<size_t>(dtype_bytes(a.dtype(), a.num_elements()));
  return std::equal(a.view().data, a.view().data + count, b.view().data);
}

void write_checkpoint(const fs::path& path, const TrainerState& state) {
  Result<CheckpointWriter> writer = CheckpointWriter::create(path);
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE(writer->write_state(state));
  ASSERT_TRUE(writer->commit());
}

TEST(Checkpoint, GivesBackWhatWasSaved) {
  const ScratchFolder folder;
  TrainerState state;
  state.step = 12;
  state.optimizer.num_steps = 11;
  state.optimizer.tensors = {{"a.exp_avg", numbers(DType::kBf16, 5)},
                             {"a.exp_avg_sq", numbers(DType::kF32, 7)}};
  state.tensors = {{"average.a", numbers(DType::kF32, 3)}};
  state.rest.set("skipped", 2);
  const CheckpointFolder checkpoints(folder.path() / "checkpoints");
  write_checkpoint(checkpoints.path_of(12), state);
  EXPECT_EQ(checkpoints.steps(), std::vector<int64_t>{12});
  const Result<TrainerState> read = read_trainer_state(checkpoints.path_of(12));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->step, 12);
  EXPECT_EQ(read->optimizer.num_steps, 11);
  EXPECT_EQ(read->rest.find("skipped")->as_int(), 2);
  ASSERT_EQ(read->optimizer.tensors.size(), 2u);
  for (const OptimizerState::Entry& entry : read->optimizer.tensors) {
    const size_t index = entry.name == "a.exp_avg" ? 0 : 1;
    EXPECT_TRUE(same_bytes(entry.value, state.optimizer.tensors[index].value)) << entry.name;
  }
  ASSERT_EQ(read->tensors.size(), 1u);
  EXPECT_TRUE(same_bytes(read->tensors[0].value, state.tensors[0].value));
}

TEST(Checkpoint, IsNotThereBeforeItsCommit) {
  const ScratchFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  {
    Result<CheckpointWriter> writer = CheckpointWriter::create(checkpoints.path_of(3));
    ASSERT_TRUE(writer);
    ASSERT_TRUE(writer->write_state({}));
    EXPECT_TRUE(checkpoints.steps().empty());
  }
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Checkpoint, ReplacesOneOfTheSameStep) {
  const ScratchFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  TrainerState state;
  state.step = 3;
  write_checkpoint(checkpoints.path_of(3), state);
  state.optimizer.num_steps = 2;
  write_checkpoint(checkpoints.path_of(3), state);
  EXPECT_EQ(read_trainer_state(checkpoints.path_of(3))->optimizer.num_steps, 2);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(CheckpointFolder, KeepsTheLastAndTheNamed) {
  const ScratchFolder folder;
  const CheckpointFolder checkpoints(folder.path());
  for (const int64_t step : {5, 10, 15, 1000000, 20}) {
    fs::create_directories(checkpoints.path_of(step));
  }
  fs::create_directories(folder.path() / "step-000025.k3x9ab");
  fs::create_directories(folder.path() / "step-000005.deleted");
  checkpoints.keep(2, {10});
  EXPECT_EQ(checkpoints.steps(), (std::vector<int64_t>{10, 20, 1000000}));
  checkpoints.remove_remains();
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 3);
}

TEST(Checkpoint, RefusesWhatIsNoState) {
  const ScratchFolder folder;
  EXPECT_EQ(read_trainer_state(folder.path()).error().code, ErrorCode::kNotFound);
  for (const char* text : {"{", "[]", "{}", R"({"version": 2, "step": 1, "optimizer_steps": 1})"}) {
    ASSERT_TRUE(write_file_atomic(folder.path() / "trainer_state.json", text));
    const Result<TrainerState> read = read_trainer_state(folder.path());
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, ErrorCode::kCorrupt) << text;
  }
}

}  // namespace
}  // namespace minke
