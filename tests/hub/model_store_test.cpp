// Goal: a model is in the store whole or not at all, and a store that was tampered with is an error
// and never a crash or a way out of the folder. Method: stores in scratch folders.
#include "minke/hub/model_store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "minke/base/files.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

Manifest manifest_of(const std::string& name, const std::string& content) {
  Manifest manifest;
  manifest.name = name;
  manifest.file = "weights.gguf";
  manifest.sha256 = std::string(64, 'a');
  manifest.source = "a test";
  manifest.license = "MIT";
  manifest.size_bytes = content.size();
  return manifest;
}

Result<StoredModel> put(const ModelStore& store, const std::string& name,
                        const std::string& content) {
  MK_ASSIGN(auto incoming, store.begin(name));
  const fs::path file = incoming->folder() / "download";
  MK_TRY(write_file_atomic(file, content));
  return incoming->commit(manifest_of(name, content), file);
}

TEST(ModelStore, AnEmptyOrMissingFolderHasNoModels) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path() / "never" / "made");
  EXPECT_TRUE(store.list().empty());
  const Result<StoredModel> found = store.find("any");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kNotFound);
}

TEST(ModelStore, WhatWasPutIsListedFoundAndResolved) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path());
  ASSERT_TRUE(put(store, "whale-1b", "twelve bytes"));
  ASSERT_TRUE(put(store, "alpha", "x"));
  const std::vector<StoredModel> models = store.list();
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].manifest.name, "alpha");
  EXPECT_EQ(models[1].manifest.size_bytes, 12u);
  EXPECT_EQ(read_file(store.resolve("whale-1b").value()).value(), "twelve bytes");
  EXPECT_FALSE(fs::exists(scratch.path() / ".incoming-whale-1b"));
}

TEST(ModelStore, AModelIsReplacedByANewerOne) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path());
  ASSERT_TRUE(put(store, "whale", "old"));
  ASSERT_TRUE(put(store, "whale", "newer"));
  EXPECT_EQ(read_file(store.resolve("whale").value()).value(), "newer");
  EXPECT_EQ(store.list().size(), 1u);
}

TEST(ModelStore, AnUncommittedPullLeavesNothing) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path());
  {
    auto incoming = store.begin("whale");
    ASSERT_TRUE(incoming);
    ASSERT_TRUE(write_file_atomic((*incoming)->folder() / "half", "half a model"));
    EXPECT_TRUE(store.list().empty());
  }
  EXPECT_FALSE(fs::exists(scratch.path() / ".incoming-whale"));
  EXPECT_TRUE(store.list().empty());
}

TEST(ModelStore, LeftoversOfAKilledPullAreClearedByTheNext) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path());
  ASSERT_TRUE(write_file_atomic(scratch.path() / ".incoming-whale" / "half.whl", "half"));
  EXPECT_TRUE(store.list().empty());
  auto incoming = store.begin("whale");
  ASSERT_TRUE(incoming);
  EXPECT_TRUE(fs::is_empty((*incoming)->folder()));
}

TEST(ModelStore, TwoPullsOfOneModelDoNotMix) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path());
  auto first = store.begin("whale");
  ASSERT_TRUE(first);
  const auto second = store.begin("whale");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kFailed);
  EXPECT_TRUE(fs::exists((*first)->folder())) << "the refused pull took the running one's folder";
  EXPECT_TRUE(store.begin("other"));
}

TEST(ModelStore, RemoveDeletesOneModelAndKnowsTheNearestName) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path());
  ASSERT_TRUE(put(store, "whale", "x"));
  ASSERT_TRUE(put(store, "shark", "y"));
  const Result<void> wrong = store.remove("whael");
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kNotFound);
  EXPECT_NE(wrong.error().message.find("whale"), std::string::npos) << wrong.error().message;
  ASSERT_TRUE(store.remove("whale"));
  ASSERT_EQ(store.list().size(), 1u);
  EXPECT_EQ(store.list()[0].manifest.name, "shark");
}

TEST(ModelStore, NamesThatAreNoNamesAreRefused) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path() / "models");
  ASSERT_TRUE(write_file_atomic(scratch.path() / "precious" / "file", "x"));
  for (const char* name : {"", ".", "..", "../precious", "a/b", ".hidden", "a b", "\xc3\xa9"}) {
    EXPECT_FALSE(is_model_name(name)) << name;
    EXPECT_FALSE(store.begin(name)) << name;
    EXPECT_FALSE(store.remove(name)) << name;
  }
  EXPECT_TRUE(fs::exists(scratch.path() / "precious" / "file"));
}

TEST(ModelStore, ABrokenManifestIsNamedAndDoesNotHideTheOthers) {
  const char* manifests[] = {
      "",
      "{",
      "[]",
      R"({"name":"broken"})",
      R"({"name":"other","file":"f","sha256":"","source":"","license":"","size_bytes":1})",
      R"({"name":"broken","file":"../f","sha256":"","source":"","license":"","size_bytes":1})",
      R"({"name":"broken","file":"f","sha256":"","source":"","license":"","size_bytes":-1})",
      R"({"name":"broken","file":"f","sha256":7,"source":"","license":"","size_bytes":1})",
  };
  for (const char* text : manifests) {
    const ScratchFolder scratch;
    const ModelStore store(scratch.path());
    ASSERT_TRUE(put(store, "good", "x"));
    ASSERT_TRUE(write_file_atomic(scratch.path() / "broken" / "manifest.json", text));
    std::vector<std::string> broken;
    EXPECT_EQ(store.list(&broken).size(), 1u) << text;
    EXPECT_EQ(broken.size(), 1u) << text;
    const Result<StoredModel> found = store.find("broken");
    ASSERT_FALSE(found) << text;
    EXPECT_EQ(found.error().code, ErrorCode::kCorrupt) << text;
    EXPECT_TRUE(store.remove("broken")) << "a broken model cannot be removed";
  }
}

TEST(ModelStore, AFileOfTheWrongSizeIsCorrupt) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path());
  ASSERT_TRUE(put(store, "whale", "twelve bytes"));
  fs::resize_file(scratch.path() / "whale" / "weights.gguf", 5);
  const Result<fs::path> found = store.resolve("whale");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kCorrupt);
}

TEST(ModelStore, APathToAFileResolvesToItself) {
  const ScratchFolder scratch;
  const ModelStore store(scratch.path() / "models");
  const fs::path file = scratch.path() / "my.gguf";
  ASSERT_TRUE(write_file_atomic(file, "x"));
  EXPECT_EQ(store.resolve(file.string()).value(), file);
  EXPECT_EQ(store.resolve(scratch.path().string()).error().code, ErrorCode::kUsage);
  const Result<fs::path> missing = store.resolve((scratch.path() / "no.gguf").string());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
}

TEST(ModelStore, AKnownModelThatIsNotThereNamesThePullCommand) {
  const ScratchFolder scratch;
  const Result<fs::path> found = ModelStore(scratch.path()).resolve("smollm2-135m");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::kNotFound);
  EXPECT_NE(found.error().message.find("minke pull smollm2-135m"), std::string::npos);
}

}  // namespace
}  // namespace minke
