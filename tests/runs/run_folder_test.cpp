// Goal: a run's folder tells what happened, also after a kill in the middle of a line and a resume
// from an earlier step; what cannot be done is refused. Method: the files are read back as text.
#include "minke/runs/run_folder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "minke/base/files.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

const RunStart kStart{.stage = "pretrain",
                      .config = Json::object({{"learning_rate", 0.5}}),
                      .environment = Json::object({{"threads", 2}})};

Json metrics_at(int64_t step) {
  return Json::object({{"step", step}, {"loss", 1.0 / static_cast<double>(step)}});
}

std::vector<int64_t> steps_in(const fs::path& path) {
  std::vector<int64_t> steps;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const Result<Json> json = parse_json(line);
    steps.push_back(json ? step_of(*json, -1) : -2);
  }
  return steps;
}

Json json_in(const fs::path& path) { return parse_json(read_file(path).value()).value(); }

TEST(RunFolderTest, TellsWhatARunWasAndHowItStands) {
  const ScratchFolder scratch;
  auto run = RunFolder::create(scratch.path() / "deep" / "run", kStart);
  ASSERT_TRUE(run) << run.error().message;
  ASSERT_TRUE(run->add_metrics(metrics_at(1)));
  ASSERT_TRUE(run->add_sample(Json::object({{"step", 1}, {"text", "a\nb"}})));
  ASSERT_TRUE(run->sync());
  ASSERT_TRUE(run->set_status(RunState::kFinished, 1, "done"));

  const fs::path folder = run->folder();
  EXPECT_EQ(json_in(folder / "config.json").find("stage")->as_string(), "pretrain");
  EXPECT_EQ(json_in(folder / "config.json").find("config")->dump(), R"({"learning_rate":0.5})");
  EXPECT_EQ(json_in(folder / "status.json").find("state")->as_string(), "finished");
  const Json line = json_in(folder / "metrics.jsonl");
  EXPECT_EQ(line.find("loss")->as_double(), 1.0);
  EXPECT_GT(line.find("time")->as_double(), 1.7e9);
  EXPECT_EQ(json_in(folder / "samples.jsonl").find("text")->as_string(), "a\nb");
}

TEST(RunFolderTest, ResumingDropsWhatCameAfterTheCheckpointAndACutLine) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "run";
  {
    auto run = RunFolder::create(folder, kStart);
    ASSERT_TRUE(run);
    for (int64_t step = 1; step <= 7; ++step) ASSERT_TRUE(run->add_metrics(metrics_at(step)));
    ASSERT_TRUE(run->add_sample(Json::object({{"step", 6}, {"text", "late"}})));
  }
  std::ofstream(folder / "metrics.jsonl", std::ios::app) << R"({"step": 8, "lo)";
  {
    auto run = RunFolder::resume(folder, kStart, 7);
    ASSERT_TRUE(run) << run.error().message;
    ASSERT_TRUE(run->add_metrics(metrics_at(8)));
  }
  EXPECT_EQ(steps_in(folder / "metrics.jsonl"), (std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(steps_in(folder / "samples.jsonl").size(), 1u);

  auto run = RunFolder::resume(folder, kStart, 5);
  ASSERT_TRUE(run);
  ASSERT_TRUE(run->add_metrics(metrics_at(6)));
  EXPECT_EQ(steps_in(folder / "metrics.jsonl"), (std::vector<int64_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_TRUE(steps_in(folder / "samples.jsonl").empty());
  const Json sessions = *json_in(folder / "environment.json").find("sessions");
  ASSERT_EQ(sessions.as_array().size(), 3u);
  EXPECT_EQ(sessions.as_array()[2].find("from_step")->as_int(), 5);
}

TEST(RunFolderTest, ARunIsNotOverwrittenAndOneThatIsMissingNotResumed) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "run";
  const auto missing = RunFolder::resume(folder, kStart, 0);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_FALSE(fs::exists(folder));
  ASSERT_TRUE(RunFolder::create(folder, kStart));
  const auto again = RunFolder::create(folder, kStart);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kUsage);
  EXPECT_NE(again.error().message.find("holds a run"), std::string::npos);
}

TEST(RunFolderTest, TwoWritersAreKeptApart) {
  const ScratchFolder scratch;
  const fs::path folder = scratch.path() / "run";
  const auto run = RunFolder::create(folder, kStart);
  ASSERT_TRUE(run);
  EXPECT_TRUE(line_file_in_use(folder / "metrics.jsonl"));
  const auto second = RunFolder::resume(folder, kStart, 0);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("another process"), std::string::npos);
}

// A limit on the size of files stands for a full disk: the same short write, then an error.
TEST(RunFolderTest, AFullDiskIsAnErrorAndLeavesWholeLines) {
  const ScratchFolder scratch;
  auto run = RunFolder::create(scratch.path() / "run", kStart);
  ASSERT_TRUE(run);
  struct rlimit before {};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small {
    300, before.rlim_max
  };
  ::setrlimit(RLIMIT_FSIZE, &small);
  Result<void> added;
  int64_t step = 0;
  while (added && step < 100) added = run->add_metrics(metrics_at(++step));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, ErrorCode::kWillNotFit);
  const std::vector<int64_t> steps = steps_in(run->folder() / "metrics.jsonl");
  EXPECT_EQ(static_cast<int64_t>(steps.size()), step - 1);
  EXPECT_EQ(steps.back(), step - 1);
}

TEST(RunFolderTest, NewRunsGetFoldersOfTheirOwn) {
  const ScratchFolder scratch;
  const fs::path first = new_run_path(scratch.path(), "sft");
  fs::create_directories(first);
  const fs::path second = new_run_path(scratch.path(), "sft");
  EXPECT_NE(first, second);
  EXPECT_TRUE(first.filename().string().starts_with("sft-2"));
}

}  // namespace
}  // namespace minke
