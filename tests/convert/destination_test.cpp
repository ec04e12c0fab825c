// Goal: writing a model never costs a file that it does not replace. Method: each kind of thing at
// the destination, with and without leave to overwrite.
#include "minke/convert/destination.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "minke/base/files.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

class DestinationTest : public ::testing::Test {
 protected:
  DestinationTest() {
    fs::create_directories(at("repo"));
    put("repo/config.json", "{}");
    put("repo/model.safetensors", "weights");
    put("repo/model.gguf", "GGUF...");
    put("m-00001-of-00002.gguf", "GGUF...");
    put("m-00002-of-00002.gguf", "GGUF...");
    put("other.gguf", "GGUF...");
  }
  fs::path at(const std::string& name) const { return scratch_.path() / name; }
  void put(const std::string& name, const std::string& text) const {
    ASSERT_TRUE(write_file_atomic(at(name), text));
  }
  std::string file(const std::string& source, const std::string& destination, bool overwrite) {
    const auto result = check_file_destination(at(source), at(destination), overwrite);
    return result ? "" : result.error().message;
  }
  std::string folder(const std::string& source, const std::string& destination, bool overwrite) {
    const auto result = check_folder_destination(at(source), at(destination), overwrite);
    return result ? "" : result.error().message;
  }
  static void expect_says(const std::string& message, const std::string& text) {
    EXPECT_NE(message.find(text), std::string::npos) << message;
  }
  const ScratchFolder scratch_;
};

TEST_F(DestinationTest, AFileIsReplacedOnlyWhenItIsAnotherModelAndWithLeave) {
  EXPECT_EQ(file("repo", "new.gguf", false), "");
  expect_says(file("repo", "other.gguf", false), "--force");
  EXPECT_EQ(file("repo", "other.gguf", true), "");
  expect_says(file("other.gguf", "other.gguf", true), "both source and destination");
  expect_says(file("m-00001-of-00002.gguf", "m-00002-of-00002.gguf", true), "both source");
  expect_says(file("repo", "repo/model.safetensors", true), "is no GGUF file");
  expect_says(file("other.gguf", "repo", true), "is a folder");
  fs::create_symlink(at("other.gguf"), at("link.gguf"));
  expect_says(file("other.gguf", "link.gguf", true), "both source and destination");
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_EQ(file("repo", "pipe", false), "");
}

TEST_F(DestinationTest, AFolderIsReplacedOnlyWhenItHoldsAModelAndNothingElse) {
  EXPECT_EQ(folder("other.gguf", "new", false), "");
  expect_says(folder("other.gguf", "repo", false), "--force");
  EXPECT_EQ(folder("other.gguf", "repo", true), "");
  for (const char* source : {"repo", "repo/model.gguf", "repo/config.json"}) {
    expect_says(folder(source, "repo", true), "holds the source");
  }
  expect_says(folder("repo/model.gguf", ".", true), "holds the source");
  fs::create_directories(at("docker"));
  EXPECT_EQ(folder("other.gguf", "docker", true), "");
  put("docker/config.json", "{}");
  put("docker/key.pem", "secret");
  expect_says(folder("other.gguf", "docker", true), "not overwritten");
  fs::create_directories(at("repo/sub"));
  expect_says(folder("other.gguf", "repo", true), "not overwritten");
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  expect_says(folder("other.gguf", "pipe", true), "is no folder");
}

TEST_F(DestinationTest, AMountPointIsRefusedBeforeAnyWork) {
  const auto refused = check_folder_destination(at("other.gguf"), "/proc", true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  expect_says(refused.error().message, "/proc is a mount point");
}

}  // namespace
}  // namespace minke
