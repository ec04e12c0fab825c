// Goal: a packed file gives back what was packed, bit for bit, and nothing else: a file that is not
// whole is refused, one that is being made is not there yet, and errors leave nothing behind.
// Method: random matrices packed in memory and in a file; the file cut, flipped, too large.
#include "minke/nn/packed_file.h"

#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "minke/nn/parameter.h"
#include "tests/hub/scratch_folder.h"
#include "tests/nn/weights.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr auto go_on = [](uint64_t) { return true; };

class PackedFileTest : public ::testing::Test {
 protected:
  PackedFileTest() {
    weights_.add("q", DType::kQ4_K, {32, 256});
    weights_.add("k", DType::kQ4_K, {17, 256});
    weights_.add("blk.0.ffn_up_exps.1.weight", DType::kF32, {48, 10});
    weights_.add("h", DType::kBf16, {5, 33});
    file_ = weights_.file();
  }

  // All of the file's matrices in one order, in `panels`.
  Result<std::vector<const Parameter*>> load(PanelStore* panels) {
    ParameterLoader loader(device_, file_, store_, Precision::kInt8, panels);
    std::vector<const Parameter*> all;
    MK_ASSIGN(auto joined, loader.matrices({{"q", 32}, {"k", 17}}, 256));
    MK_ASSIGN(auto experts, loader.matrices({{"blk.0.ffn_up_exps.1.weight", 48}}, 10));
    MK_ASSIGN(auto halves, loader.matrices({{"h", 5}}, 33));
    const auto values = [] { return Result<std::vector<float>>(std::vector<float>(64 * 7, 0.5f)); };
    MK_ASSIGN(const Parameter* made, loader.made({"made", DType::kF32, 64, 7}, values));
    for (const auto& list : {joined, experts, halves})
      all.insert(all.end(), list.begin(), list.end());
    all.push_back(made);
    return all;
  }
  Result<void> write(const std::string& identity = "one") {
    MK_ASSIGN(PackedFileWriter writer, PackedFileWriter::create(path(), go_on));
    MK_TRY(load(&writer));
    return writer.commit({identity, {{"/a/model.gguf", {1, -2, 3}}}});
  }
  std::string content() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void replace(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }
  fs::path path() const { return folder_.path() / "sub" / "model.panels"; }
  fs::path part() const { return path().string() + ".part"; }
  size_t num_files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(path().parent_path()), fs::directory_iterator()));
  }

  Device device_{1, false, CpuLevel::kRef};  // no threads: a test forks
  const ScratchFolder folder_;
  RandomWeights weights_{3};
  GgufFile file_;
  ParameterStore store_;
};

std::string bytes_of(const Parameter& parameter) {
  const View view = parameter.value.view();
  return {reinterpret_cast<const char*>(view.data),
          static_cast<size_t>(dtype_bytes(view.dtype, view.rows * view.cols))};
}

TEST_F(PackedFileTest, HoldsTheBytesThatMemoryWouldHave) {
  const auto in_memory = load(nullptr);
  ASSERT_TRUE(in_memory) << in_memory.error().message;
  const auto written = write();
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_EQ(num_files(), 1u);
  for (const uint64_t memory_bytes : {0, 20'000, 1 << 30}) {
    auto packed = PackedFile::open(path());
    ASSERT_TRUE(packed) << packed.error().message;
    EXPECT_EQ(packed->label().identity, "one");
    ASSERT_EQ(packed->label().sources.size(), 1u);
    EXPECT_EQ(packed->label().sources[0].path, "/a/model.gguf");
    EXPECT_TRUE((packed->label().sources[0].stamp == FileStamp{1, -2, 3}));
    packed->copy_to_memory(memory_bytes);
    const auto mapped = load(&*packed);
    ASSERT_TRUE(mapped) << mapped.error().message;
    ASSERT_EQ(mapped->size(), in_memory->size());
    for (size_t i = 0; i < mapped->size(); ++i) {
      const Parameter &a = *(*in_memory)[i], &b = *(*mapped)[i];
      EXPECT_EQ(bytes_of(a), bytes_of(b)) << a.names.front();
      EXPECT_EQ(reinterpret_cast<uintptr_t>(b.value.view().data) % 64, 0u);
      EXPECT_EQ(a.names, b.names);
      EXPECT_FALSE(a.value.read_only());
      // Experts stay in the map however much memory there is; the first matrix has 7.6 KB.
      const bool is_expert = i == 1;
      EXPECT_EQ(b.value.read_only(), is_expert || memory_bytes == 0) << i;
      EXPECT_EQ(b.trainable(), b.dtype == DType::kF32 && !b.value.read_only());
      b.value.will_read();
    }
  }
}

TEST_F(PackedFileTest, CountsWhatItWouldTake) {
  PanelCounter counter;
  ASSERT_TRUE(load(&counter));
  ASSERT_TRUE(write());
  EXPECT_EQ(counter.expert_bytes(), 48 * 10 * 4);
  int64_t bytes = 0;
  const auto in_memory = load(nullptr);
  for (const Parameter* parameter : *in_memory) {
    bytes += static_cast<int64_t>(bytes_of(*parameter).size());
  }
  EXPECT_EQ(counter.bytes(), bytes);
}

TEST_F(PackedFileTest, IsWrittenInPiecesThatJoin) {
  // 20,000 rows of 1 KB panels: several buffers, a last panel that is not full.
  constexpr int64_t kRows = 20'005, kCols = 256;
  std::vector<float> numbers(kRows * kCols);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i % 8191);
  const auto values = [&] { return Result<std::vector<float>>(numbers); };
  const PanelMatrix matrix{"big", DType::kF32, kRows, kCols};
  ParameterLoader memory(device_, file_, store_, Precision::kInt8);
  {
    auto writer = PackedFileWriter::create(path(), go_on);
    ASSERT_TRUE(writer);
    ParameterLoader loader(device_, file_, store_, Precision::kInt8, &*writer);
    ASSERT_TRUE(loader.made(matrix, values));
    ASSERT_TRUE(writer->commit({"big", {}}));
  }
  auto packed = PackedFile::open(path());
  ASSERT_TRUE(packed) << packed.error().message;
  ParameterLoader loader(device_, file_, store_, Precision::kInt8, &*packed);
  const auto never = []() -> Result<std::vector<float>> {
    return fail(ErrorCode::kFailed, "used");
  };
  const auto mapped = loader.made(matrix, never);
  ASSERT_TRUE(mapped) << mapped.error().message;
  EXPECT_TRUE(bytes_of(**mapped) == bytes_of(**memory.made(matrix, values)));
}

TEST_F(PackedFileTest, LacksMatricesOfOtherNamesFormatsAndShapes) {
  ASSERT_TRUE(write());
  const PanelMatrix others[] = {{"r", DType::kBf16, 5, 33},
                                {"h", DType::kF16, 5, 33},
                                {"h", DType::kBf16, 6, 33},
                                {"h", DType::kBf16, 5, 34}};
  const auto pack = [](int64_t, int64_t, std::byte*) { return Result<void>{}; };
  for (const PanelMatrix& other : others) {
    auto packed = PackedFile::open(path());
    ASSERT_TRUE(packed);
    EXPECT_TRUE(packed->place({"h", DType::kBf16, 5, 33}, pack));
    EXPECT_FALSE(packed->lacks());
    EXPECT_EQ(packed->place(other, pack).error().code, ErrorCode::kCorrupt);
    EXPECT_TRUE(packed->lacks());
  }
}

TEST_F(PackedFileTest, AFileThatIsNotWholeIsRefused) {
  ASSERT_TRUE(write());
  const std::string good = content();
  for (const size_t size :
       {size_t{0}, size_t{10}, size_t{4096}, good.size() / 2, good.size() - 1}) {
    replace(good.substr(0, size));
    const auto packed = PackedFile::open(path());
    ASSERT_FALSE(packed) << size;
    EXPECT_EQ(packed.error().code, ErrorCode::kCorrupt);
  }
  replace(good + "x");
  EXPECT_FALSE(PackedFile::open(path()));
  for (const size_t at :
       {size_t{3}, size_t{8}, size_t{16}, size_t{23}, size_t{24}, size_t{40}, good.size() - 5}) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x41);
    replace(bad);
    EXPECT_FALSE(PackedFile::open(path())) << at;
  }
  replace(good);
  EXPECT_TRUE(PackedFile::open(path()));
  EXPECT_EQ(PackedFile::open(folder_.path() / "none").error().code, ErrorCode::kNotFound);
}

TEST_F(PackedFileTest, WithoutCommitNothingIsLeft) {
  {
    auto writer = PackedFileWriter::create(path(), go_on);
    ASSERT_TRUE(writer);
    EXPECT_TRUE(fs::exists(part()));
    EXPECT_TRUE(PackedFileWriter::is_in_work(part()));
    ASSERT_TRUE(load(&*writer));
  }
  EXPECT_EQ(num_files(), 0u);
}

TEST_F(PackedFileTest, AnErrorOfTheSourceIsPassedOn) {
  auto writer = PackedFileWriter::create(path(), go_on);
  ASSERT_TRUE(writer);
  ParameterLoader loader(device_, file_, store_, Precision::kInt8, &*writer);
  const auto values = []() -> Result<std::vector<float>> {
    return fail(ErrorCode::kCorrupt, "broken tensor");
  };
  const auto made = loader.made({"made", DType::kF32, 64, 7}, values);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message, "broken tensor");
}

TEST_F(PackedFileTest, StopsWhenAskedTo) {
  const auto stop = [](uint64_t bytes) { return bytes == 0; };
  auto writer = PackedFileWriter::create(path(), stop);
  ASSERT_TRUE(writer);
  const auto loaded = load(&*writer);
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::kInterrupted);
}

TEST_F(PackedFileTest, WhatAKilledProcessLeftIsOverwritten) {
  fs::create_directories(path().parent_path());
  std::ofstream(part()) << std::string(100'000, 'x');
  EXPECT_FALSE(PackedFileWriter::is_in_work(part()));
  ASSERT_TRUE(write());
  EXPECT_TRUE(PackedFile::open(path()));
  EXPECT_EQ(num_files(), 1u);
}

TEST_F(PackedFileTest, ASecondWriterWaitsForTheFirst) {
  std::optional<PackedFileWriter> first;
  {
    auto writer = PackedFileWriter::create(path(), go_on);
    ASSERT_TRUE(writer);
    first.emplace(std::move(*writer));
  }
  int asked = 0;
  const auto give_up = [&](uint64_t) { return ++asked < 2; };
  const auto refused = PackedFileWriter::create(path(), give_up);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInterrupted);
  EXPECT_TRUE(fs::exists(part())) << "the other's file must stay";

  ASSERT_TRUE(load(&*first));
  bool waited = false;
  std::thread second([&] {
    const auto seen = [&](uint64_t) { return waited = true; };
    const auto writer = PackedFileWriter::create(path(), seen);
    EXPECT_TRUE(writer);
    EXPECT_TRUE(PackedFile::open(path())) << "the first is done when the second has the lock";
  });
  while (!waited) std::this_thread::yield();
  ASSERT_TRUE(first->commit({"one", {}}));
  second.join();
  EXPECT_TRUE(PackedFile::open(path()));
  EXPECT_EQ(num_files(), 1u);
}

TEST_F(PackedFileTest, ADiskThatIsTooSmallIsToldBefore) {
  auto writer = PackedFileWriter::create(path(), go_on);
  ASSERT_TRUE(writer);
  EXPECT_TRUE(writer->check_room(1));
  const auto refused = writer->check_room(uint64_t{1} << 62);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kWillNotFit);
  EXPECT_NE(refused.error().message.find("GB free"), std::string::npos);
}

// In a process of its own, for the limit cannot be taken back.
TEST_F(PackedFileTest, ADiskThatFillsUpIsAnErrorAndLeavesNothingDeathTest) {
  ::testing::FLAGS_gtest_death_test_style = "fast";
  const auto child = [this] {
    ::signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit {
      10'000, 10'000
    };
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const auto written = write();
    const bool is_right = !written && written.error().code == ErrorCode::kWillNotFit;
    ::_exit(is_right && num_files() == 0 ? 7 : 1);
  };
  EXPECT_EXIT(child(), ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace minke
