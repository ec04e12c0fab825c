// Goal: files are read and written whole or not at all, and errors say why. Method: round trips and
// each cause of failure, in a folder of the test's own.
#include "minke/base/files.h"
#include "minke/base/sha256.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

namespace minke {
namespace {

namespace fs = std::filesystem;

class Files : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("minke_files_test_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  size_t num_entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }
  fs::path folder_;
};

std::string text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST_F(Files, WrittenContentIsReadAndMappedBack) {
  const std::string content = std::string("a\0b", 3) + std::string(200000, 'x');
  const fs::path path = folder_ / "sub" / "file";
  ASSERT_TRUE(write_file_atomic(path, content));
  EXPECT_EQ(read_file(path).value(), content);
  auto opened = MappedFile::open(path);
  ASSERT_TRUE(opened);
  const MappedFile moved = std::move(*opened);
  EXPECT_TRUE(opened->bytes().empty());
  EXPECT_EQ(text_of(moved), content);
  moved.drop(0, content.size());
  moved.will_need();
  EXPECT_EQ(text_of(moved), content) << "dropped pages are read again";
}

TEST_F(Files, ANewVersionReplacesTheOldAndLeavesNothingBeside) {
  const fs::path path = folder_ / "file";
  ASSERT_TRUE(write_file_atomic(path, "old"));
  const auto old = MappedFile::open(path);
  ASSERT_TRUE(old);
  ASSERT_TRUE(write_file_atomic(path, "new version"));
  EXPECT_EQ(read_file(path).value(), "new version");
  EXPECT_EQ(text_of(*old), "old") << "a reader keeps what it opened";
  EXPECT_EQ(num_entries(), 1u);
}

TEST_F(Files, AFailedWriteLeavesNothingBehind) {
  const fs::path path = folder_ / "taken";
  fs::create_directories(path / "by a folder");
  EXPECT_FALSE(write_file_atomic(path, "text"));
  EXPECT_EQ(num_entries(), 1u);
  ASSERT_TRUE(write_file_atomic(folder_ / "file", "x"));
  EXPECT_FALSE(write_file_atomic(folder_ / "file" / "below", "x"));
  EXPECT_EQ(read_file(folder_ / "file").value(), "x");
}

TEST_F(Files, ANewFileHasTheProcesssModeAndAReplacedOneKeepsItsOwn) {
  const fs::path path = folder_ / "file";
  const auto mode = [&] { return static_cast<unsigned>(fs::status(path).permissions()); };
  for (const mode_t mask : {0022u, 0077u, 0002u}) {
    fs::remove(path);
    const mode_t before = ::umask(mask);
    const bool written = write_file_atomic(path, "new").has_value();
    ::umask(before);
    ASSERT_TRUE(written);
    EXPECT_EQ(mode(), 0666u & ~mask);
  }
  for (const unsigned kept : {0600u, 0640u, 0666u}) {
    fs::permissions(path, static_cast<fs::perms>(kept));
    ASSERT_TRUE(write_file_atomic(path, "newer"));
    EXPECT_EQ(mode(), kept);
  }
}

TEST_F(Files, APipeIsWrittenToAndNotReplaced) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_TRUE(write_file_atomic("/proc/self/fd/" + std::to_string(ends[1]), "text"));
  char got[8] = {};
  EXPECT_EQ(::read(ends[0], got, sizeof got), 4);
  EXPECT_STREQ(got, "text");
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(Files, MissingFilesAndFoldersAreToldApart) {
  const auto missing = MappedFile::open(folder_ / "none");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find("none"), std::string::npos);
  EXPECT_EQ(read_file(folder_ / "none").error().code, ErrorCode::kNotFound);
  const auto folder = MappedFile::open(folder_);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().code, ErrorCode::kFailed);
  EXPECT_FALSE(read_file(folder_));
  EXPECT_FALSE(sha256_file(folder_ / "none"));
}

TEST_F(Files, EmptyFilesAreFilesAndLimitsHold) {
  const fs::path path = folder_ / "file";
  ASSERT_TRUE(write_file_atomic(path, ""));
  EXPECT_TRUE(MappedFile::open(path)->bytes().empty());
  EXPECT_EQ(read_file(path).value(), "");
  ASSERT_TRUE(write_file_atomic(path, "12345"));
  EXPECT_TRUE(read_file(path, 5));
  const auto too_large = read_file(path, 4);
  ASSERT_FALSE(too_large);
  EXPECT_NE(too_large.error().message.find("limit of 4 bytes"), std::string::npos);
}

TEST_F(Files, Sha256IsThatOfTheStandard) {
  // FIPS 180-2, appendix B, and the hash of nothing.
  const fs::path path = folder_ / "file";
  ASSERT_TRUE(write_file_atomic(path, "abc"));
  EXPECT_EQ(sha256_file(path).value(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  ASSERT_TRUE(write_file_atomic(path, ""));
  EXPECT_EQ(sha256_file(path).value(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

/// Sets or clears an environment variable for a scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    if (value == nullptr) ::unsetenv(name);
    if (value != nullptr) ::setenv(name, value, 1);
  }
  ~Variable() {
    if (before_.empty()) ::unsetenv(name_);
    if (!before_.empty()) ::setenv(name_, before_.c_str(), 1);
  }

 private:
  const char* name_;
  std::string before_;
};

TEST_F(Files, FoldersComeFromMinkeHomeThenXdgThenHome) {
  const Variable home("HOME", "/home/me");
  const Variable data("XDG_DATA_HOME", "/data");
  const Variable cache("XDG_CACHE_HOME", nullptr);
  const Variable state("XDG_STATE_HOME", "");
  {
    const Variable minke("MINKE_HOME", nullptr);
    EXPECT_EQ(folders_from_environment().data, "/data/minke");
    EXPECT_EQ(folders_from_environment().cache, "/home/me/.cache/minke");
    EXPECT_EQ(folders_from_environment().state, "/home/me/.local/state/minke");
  }
  const Variable minke("MINKE_HOME", "/m");
  EXPECT_EQ(folders_from_environment().data, "/m/data");
  EXPECT_EQ(folders_from_environment().cache, "/m/cache");
  EXPECT_EQ(folders_from_environment().state, "/m/state");
}

TEST_F(Files, PeakMemoryCountsWhatWasTouched) {
  const uint64_t before = peak_rss_bytes();
  EXPECT_GT(before, uint64_t{1} << 20);
  std::vector<char> block(before + (uint64_t{64} << 20), 1);
  EXPECT_GE(peak_rss_bytes(), before + (uint64_t{32} << 20)) << block[block.size() / 2];
}

}  // namespace
}  // namespace minke
