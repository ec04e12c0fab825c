// Goal: rows of token ids become batches whose targets are the labels, and what is no such row is
// refused with its line. Method: files written here.
#include "minke/train/row_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace minke {
namespace {

class RowFileTest : public ::testing::Test {
 protected:
  RowFileTest() {
    std::string name = (std::filesystem::temp_directory_path() / "rows-XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~RowFileTest() override { std::filesystem::remove_all(folder_); }

  Result<std::unique_ptr<BatchSource>> open(const std::string& text,
                                            const RowFileShape& shape = {2, 3, 1, 10}) const {
    std::ofstream(folder_ / "rows.jsonl") << text;
    return open_row_file(folder_ / "rows.jsonl", shape);
  }
  void expect_refused(const std::string& text, const std::string& message) const {
    const auto source = open(text);
    ASSERT_FALSE(source) << text;
    EXPECT_EQ(source.error().code, ErrorCode::kUsage);
    EXPECT_NE(source.error().message.find(message), std::string::npos) << source.error().message;
  }

  std::filesystem::path folder_;
};

TEST_F(RowFileTest, MakesBatchesOfLabelsThatFollow) {
  const auto source = open(
      "{\"input_ids\":[1,2,3,4],\"labels\":[-100,-100,3,4]}\n\n"
      "{\"input_ids\":[5,6,7,8,9,9],\"labels\":[5,6,-100,8,-100,-100]}\n"
      "{\"input_ids\":[1,2],\"labels\":[-100,0]}\n",
      {1, 3, 3, 10});
  ASSERT_TRUE(source) << source.error().message;
  const TokenBatch first = *(*source)->batch(0), second = *(*source)->batch(1);
  EXPECT_EQ(first.tokens, (std::vector<int32_t>{1, 2, 3}));
  EXPECT_EQ(first.targets, (std::vector<int32_t>{kNoTarget, 3, 4}));
  // What follows the last label is not read; the first token's label has no row to be of.
  EXPECT_EQ(second.tokens, (std::vector<int32_t>{5, 6, 7}));
  EXPECT_EQ(second.targets, (std::vector<int32_t>{6, kNoTarget, 8}));
  EXPECT_EQ((*source)->batch(2)->targets, (std::vector<int32_t>{0}));
}

TEST_F(RowFileTest, RefusesWhatIsNoRowWithItsLine) {
  const std::string good = "{\"input_ids\":[1,2],\"labels\":[-100,2]}\n";
  expect_refused(good + "{\"input_ids\":[1,", "rows.jsonl:2: no JSON");
  expect_refused(good + "[1]\n", "rows.jsonl:2: expected an object");
  expect_refused("{\"input_ids\":[1,2],\"labels\":[2]}", "2 input_ids with 1 labels");
  expect_refused("{\"input_ids\":[1,10],\"labels\":[-100,2]}", "element 1 is 10");
  expect_refused("{\"input_ids\":[1,2],\"labels\":[-100,-1]}", "with label -1");
  expect_refused("{\"input_ids\":[1,2.5],\"labels\":[-100,2]}", "element 1 is 2.5");
  expect_refused("{\"input_ids\":[1,2],\"labels\":[1,-100]}", "no label after its first token");
  expect_refused("{\"input_ids\":[1,2,3,4,5],\"labels\":[1,2,3,4,5]}",
                 "4 tokens when rows may have 3");
  expect_refused(good, "has 1 rows, but 1 steps of 2 rows read 2");
  expect_refused("", "has 0 rows");
}

}  // namespace
}  // namespace minke
