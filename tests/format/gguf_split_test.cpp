// Goal: a model split over several files opens as one from any of its parts, and parts that are
// missing, renamed or of another model are refused by name. Method: files made with the writer, and
// lies put into their split.* keys.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <functional>
#include <string>

#include "minke/format/gguf.h"
#include "minke/format/gguf_writer.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// What one part says; the defaults are the truth about part `no` of three with two tensors each.
struct Part {
  int no = 0;
  int count = 3;
  int num_tensors = 6;
  std::string tensor_prefix = "w";
};

class GgufSplitTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              (std::string("minke_split_") +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder_);
    for (int no = 0; no < 3; ++no) write({.no = no}, no);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path path(int no) const {
    return folder_ / ("m-0000" + std::to_string(no + 1) + "-of-00003.gguf");
  }

  // Tensor i of part no holds the numbers 10 no + i.
  void write(const Part& part, int place) const {
    GgufWriter writer(part.no == 1 ? 64 : 32);
    if (part.no == 0) writer.add("general.name", "whole");
    writer.add("split.no", static_cast<uint16_t>(part.no));
    writer.add("split.count", static_cast<uint16_t>(part.count));
    writer.add("split.tensors.count", static_cast<int32_t>(part.num_tensors));
    for (int i = 0; i < 2; ++i) {
      const std::vector<float> values(8, static_cast<float>(10 * part.no + i));
      writer.add_tensor(part.tensor_prefix + std::to_string(10 * part.no + i), DType::kF32, {2, 4},
                        std::as_bytes(std::span(values)));
    }
    ASSERT_TRUE(writer.write(path(place)));
  }

  void expect_error(int opened, ErrorCode code, std::string_view message) const {
    const auto file = GgufFile::open(path(opened));
    ASSERT_FALSE(file) << message;
    EXPECT_EQ(file.error().code, code) << file.error().message;
    EXPECT_NE(file.error().message.find(message), std::string::npos) << file.error().message;
  }

  fs::path folder_;
};

TEST_F(GgufSplitTest, AnyPartOpensTheWhole) {
  uint64_t total_bytes = 0;
  for (int no = 0; no < 3; ++no) total_bytes += fs::file_size(path(no));
  for (int opened = 0; opened < 3; ++opened) {
    auto result = GgufFile::open(path(opened));
    ASSERT_TRUE(result) << result.error().message;
    const GgufFile file = std::move(*result);
    EXPECT_EQ(file.get_string("general.name").value(), "whole");
    EXPECT_EQ(file.file_bytes(), total_bytes);
    ASSERT_EQ(file.weights().size(), 6u);
    for (int no = 0; no < 3; ++no) {
      for (int i = 0; i < 2; ++i) {
        const WeightInfo* weight = file.find("w" + std::to_string(10 * no + i));
        ASSERT_NE(weight, nullptr);
        float last = 0;
        std::memcpy(&last, weight->bytes.data() + 28, 4);
        EXPECT_EQ(last, static_cast<float>(10 * no + i));
        file.drop(weight->bytes);
        std::memcpy(&last, weight->bytes.data() + 28, 4);
        EXPECT_EQ(last, static_cast<float>(10 * no + i)) << "after dropping its pages";
      }
    }
  }
}

TEST_F(GgufSplitTest, AMissingPartIsNamed) {
  fs::remove(path(1));
  for (const int opened : {0, 2}) {
    expect_error(opened, ErrorCode::kNotFound,
                 "m-00002-of-00003.gguf is missing: part 2 of the 3 of m");
  }
  fs::remove(path(0));
  expect_error(2, ErrorCode::kNotFound, "m-00001-of-00003.gguf is missing");
}

TEST_F(GgufSplitTest, ARenamedPartSaysWhatItsNameShouldEndIn) {
  fs::rename(path(1), folder_ / "model.gguf");
  const auto file = GgufFile::open(folder_ / "model.gguf");
  ASSERT_FALSE(file);
  EXPECT_NE(file.error().message.find("part 2 of 3"), std::string::npos) << file.error().message;
  EXPECT_NE(file.error().message.find("-00002-of-00003.gguf"), std::string::npos);
}

TEST_F(GgufSplitTest, PartsThatDisagreeAreRefused) {
  write({.no = 1, .num_tensors = 7}, 1);
  expect_error(0, ErrorCode::kCorrupt,
               "m-00002-of-00003.gguf: split.count is 3 and "
               "split.tensors.count 7, the other parts have 3 and 6");
  write({.no = 1, .count = 4}, 1);
  expect_error(0, ErrorCode::kCorrupt, "split.count is 4");
  write({.no = 2}, 1);
  expect_error(0, ErrorCode::kCorrupt, "m-00002-of-00003.gguf: split.no is 2 when its name says 1");
  write({.no = 1, .tensor_prefix = "w1"}, 1);  // w110, w111: other tensors, but as many
  EXPECT_TRUE(GgufFile::open(path(0)));
  for (int no = 0; no < 3; ++no) write({.no = no, .num_tensors = 5}, no);
  expect_error(1, ErrorCode::kCorrupt, "m: its 3 parts have 6 tensors, split.tensors.count is 5");
}

TEST_F(GgufSplitTest, ATensorInTwoPartsIsRefused) {
  for (int no = 0; no < 3; ++no) write({.no = no, .tensor_prefix = no == 2 ? "" : "2"}, no);
  // Parts 0 and 1 have 20 21 (as "2" + "0", ...) and 210 211, part 2 has 20 21.
  expect_error(0, ErrorCode::kCorrupt, "stands twice");
}

TEST_F(GgufSplitTest, APartThatIsNoGgufIsNamed) {
  ASSERT_TRUE(write_file_atomic(path(2), "<html>"));
  expect_error(0, ErrorCode::kCorrupt, "m-00003-of-00003.gguf: this looks like an HTML page");
  fs::remove(path(2));
  fs::create_directory(path(2));
  expect_error(0, ErrorCode::kFailed, "m-00003-of-00003.gguf");
}

TEST_F(GgufSplitTest, LyingSplitKeysAreErrors) {
  const auto with = [this](const std::function<void(GgufWriter&)>& add) {
    GgufWriter writer;
    add(writer);
    EXPECT_TRUE(writer.write(path(0)));
  };
  with([](GgufWriter& writer) { writer.add("split.count", "three"); });
  expect_error(0, ErrorCode::kCorrupt, "m-00001-of-00003.gguf: gguf: metadata 'split.count' is of");
  with([](GgufWriter& writer) { writer.add("split.count", ~uint64_t{0}); });
  expect_error(0, ErrorCode::kCorrupt, "split.count 18446744073709551615");
  with([](GgufWriter& writer) {
    writer.add("split.count", uint16_t{3});
    writer.add("split.no", uint16_t{3});
  });
  expect_error(0, ErrorCode::kCorrupt, "split.no is 3 and split.count 3");
  with([](GgufWriter& writer) { writer.add("split.count", uint16_t{3}); });
  expect_error(0, ErrorCode::kCorrupt, "split.no is 3 and split.count 3");
  with([](GgufWriter& writer) { writer.add("split.count", uint16_t{1}); });
  EXPECT_TRUE(GgufFile::open(path(0))) << "one part is a whole";
}

}  // namespace
}  // namespace minke
