// Goal: batches hold each token or example as often as they should, as a function of the step.
// Method: shards of known ids, whole passes counted; the same step asked for twice.
#include "minke/data/batch_sources.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "tests/data/shards.h"

namespace minke {
namespace {

using test::Folder;
using test::info_of;

// Documents whose tokens count up from `first` on: ids tell where they came from.
std::vector<TokenDocument> counted_documents(std::vector<int> lengths, int32_t first) {
  std::vector<TokenDocument> documents;
  for (const int length : lengths) {
    TokenDocument& document = documents.emplace_back();
    for (int i = 0; i < length; ++i) document.ids.push_back(first++);
  }
  return documents;
}

// 40 tokens in two shards: documents of 7, 9, 4 and 20.
TokenDataset text_dataset(const Folder& folder) {
  test::write_shard(folder / "a.mkt", info_of(ShardKind::kText), counted_documents({7, 9}, 0));
  test::write_shard(folder / "b.mkt", info_of(ShardKind::kText), counted_documents({4, 20}, 16));
  std::vector<TokenShard> shards;
  for (const char* name : {"a.mkt", "b.mkt"}) shards.push_back(*TokenShard::open(folder / name));
  return *TokenDataset::of_shards(std::move(shards));
}

std::unique_ptr<BatchSource> source_of(TokenDataset dataset, const BatchOptions& options,
                                       LeftOut* left_out = nullptr) {
  auto source = make_batches(std::move(dataset), options, left_out);
  EXPECT_TRUE(source) << source.error().message;
  return std::move(*source);
}

TEST(TextBatches, ReadEachWindowOnceInAPass) {
  const Folder folder;
  const auto source = source_of(text_dataset(folder), {.rows = 3, .seq_len = 6, .seed = 3});
  ASSERT_EQ(source->steps_per_epoch(), 2);
  for (int64_t epoch = 0; epoch < 4; ++epoch) {
    std::map<int32_t, int> seen;
    for (int64_t step = 2 * epoch; step < 2 * epoch + 2; ++step) {
      const TokenBatch batch = *source->batch(step);
      EXPECT_EQ(batch.num_rows(), 3);
      EXPECT_EQ(batch.lengths, (std::vector<int32_t>{6, 6, 6}));
      for (size_t i = 0; i < batch.tokens.size(); ++i) {
        EXPECT_EQ(batch.targets[i], batch.tokens[i] + 1);
        EXPECT_EQ(batch.positions[i], static_cast<int32_t>(i % 6));
        ++seen[batch.tokens[i]];
      }
      EXPECT_EQ(source->batch(step)->tokens, batch.tokens);
    }
    EXPECT_EQ(seen.size(), 36u);  // 6 windows of 6, none twice
  }
  EXPECT_NE(source->batch(0)->tokens, source->batch(2)->tokens);
}

TEST(TextBatches, KeepDocumentsApart) {
  const Folder folder;
  const auto source = source_of(
      text_dataset(folder),
      {.rows = 1, .seq_len = 39, .order = BatchOrder::kAscending, .separate_documents = true});
  const TokenBatch batch = *source->batch(0);
  EXPECT_EQ(batch.lengths, (std::vector<int32_t>{7, 9, 4, 19}));
  EXPECT_EQ(batch.num_targets(), 36);
  EXPECT_EQ(batch.targets[6], kNoTarget);
  EXPECT_EQ(batch.targets[15], kNoTarget);
  EXPECT_EQ(batch.targets[19], kNoTarget);
  EXPECT_EQ(batch.targets[38], 39);
  EXPECT_EQ(batch.positions[7], 0);
  EXPECT_EQ(batch.positions[38], 18);
}

TEST(TextBatches, OfEvaluationReadAllInOrder) {
  const Folder folder;
  const auto source =
      source_of(text_dataset(folder), {.rows = 2, .seq_len = 9, .order = BatchOrder::kAscending});
  ASSERT_EQ(source->steps_per_epoch(), 3);
  std::vector<int32_t> all;
  for (int64_t step = 0; step < 3; ++step) {
    const TokenBatch batch = *source->batch(step);
    all.insert(all.end(), batch.targets.begin(), batch.targets.end());
  }
  ASSERT_EQ(all.size(), 39u);
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i], static_cast<int32_t>(i) + 1);
}

TEST(TextBatches, SampleWindowsThatBeginAnywhere) {
  const Folder folder;
  const auto source =
      source_of(text_dataset(folder), {.rows = 8, .seq_len = 6, .order = BatchOrder::kSampled});
  std::set<int32_t> begins;
  for (int64_t step = 0; step < 60; ++step) {
    const TokenBatch batch = *source->batch(step);
    for (size_t row = 0; row < 8; ++row) begins.insert(batch.tokens[row * 6]);
  }
  EXPECT_EQ(begins.size(), 34u);  // 0 .. 33: each place that has six tokens and a target
  EXPECT_EQ(*begins.rbegin(), 33);
}

TEST(TextBatches, NeedEnoughForOneRow) {
  const Folder folder;
  const auto source = make_batches(text_dataset(folder), {.rows = 1, .seq_len = 40});
  ASSERT_FALSE(source);
  EXPECT_EQ(source.error().code, ErrorCode::kUsage);
  EXPECT_NE(source.error().message.find("40 tokens when one row needs 41"), std::string::npos);
}

// Examples of the given lengths of which the last `learned` tokens have a target.
TokenDataset example_dataset(const Folder& folder, ShardKind kind, std::vector<int> lengths,
                             size_t learned) {
  auto documents = counted_documents(std::move(lengths), 0);
  for (TokenDocument& document : documents) {
    document.loss.assign(document.ids.size(), false);
    std::fill(document.loss.end() - static_cast<std::ptrdiff_t>(learned), document.loss.end(),
              true);
  }
  test::write_shard(folder / "e.mkt", info_of(kind), documents);
  return *TokenDataset::open(folder / "e.mkt");
}

TEST(ExampleBatches, HoldEachExampleOnceInAPassWithItsTargets) {
  const Folder folder;
  for (const bool pack : {false, true}) {
    const auto source =
        source_of(example_dataset(folder, ShardKind::kExamples, {5, 9, 3, 6, 4, 8}, 2),
                  {.rows = 1, .seq_len = 10, .seed = 9, .pack = pack});
    std::multiset<int32_t> targets;
    for (int64_t step = 0; step < source->steps_per_epoch(); ++step) {
      const TokenBatch batch = *source->batch(step);
      EXPECT_LE(batch.num_tokens(), 10);
      EXPECT_EQ(batch.num_targets(), 2 * static_cast<int64_t>(batch.lengths.size()));
      for (size_t i = 0; i < batch.targets.size(); ++i) {
        if (batch.targets[i] == kNoTarget) continue;
        EXPECT_EQ(batch.targets[i], batch.tokens[i] + 1);
        targets.insert(batch.targets[i]);
      }
    }
    EXPECT_EQ(targets, (std::multiset<int32_t>{3, 4, 12, 13, 15, 16, 21, 22, 25, 26, 33, 34}));
    EXPECT_EQ(source->steps_per_epoch(), pack ? 3 : 6);  // 29 tokens into rows of 10
  }
}

TEST(ExampleBatches, CountWhatIsTooLong) {
  const Folder folder;
  LeftOut left_out;
  // Of 9 tokens the last four are learned: with 6 read one target is left, with 4 none.
  source_of(example_dataset(folder, ShardKind::kExamples, {9, 5}, 4), {.rows = 1, .seq_len = 6},
            &left_out);
  EXPECT_EQ(left_out.truncated, 1);
  EXPECT_EQ(left_out.dropped, 0);
  left_out = {};
  source_of(example_dataset(folder, ShardKind::kExamples, {9, 5}, 4), {.rows = 1, .seq_len = 4},
            &left_out);
  EXPECT_EQ(left_out.dropped, 1);
  const auto none =
      make_batches(example_dataset(folder, ShardKind::kExamples, {9}, 1), {.seq_len = 4});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kUsage);
}

TEST(PairBatches, KeepPairsTogether) {
  const Folder folder;
  auto source =
      make_pair_batches(example_dataset(folder, ShardKind::kPairs, {4, 6, 5, 3, 20, 4}, 2),
                        {.rows = 2, .seq_len = 8});
  ASSERT_TRUE(source);
  ASSERT_EQ((*source)->steps_per_epoch(), 1);  // the third pair does not fit
  const PairBatch batch = *(*source)->batch(0);
  ASSERT_EQ(batch.num_pairs(), 2);
  for (size_t i = 0; i < 2; ++i) {
    const bool first = batch.indices[i] == 0;
    EXPECT_EQ(batch.chosen.row_lengths[i], first ? 3 : 4);
    EXPECT_EQ(batch.rejected.row_lengths[i], first ? 5 : 2);
    const PairBatch one = batch.pairs(static_cast<int64_t>(i), static_cast<int64_t>(i) + 1);
    EXPECT_EQ(one.chosen.tokens[0], first ? 0 : 10);
    EXPECT_EQ(one.rejected.tokens[0], first ? 4 : 15);
  }
  EXPECT_FALSE(make_batches(example_dataset(folder, ShardKind::kPairs, {4, 6}, 2), {}));
  EXPECT_FALSE(make_pair_batches(text_dataset(folder), {}));
}

TEST(TokenDataset, RefusesShardsThatDoNotBelongTogether) {
  const Folder folder;
  test::write_shard(folder / "a.mkt", info_of(ShardKind::kText, 50), counted_documents({7}, 0));
  test::write_shard(folder / "b.mkt", info_of(ShardKind::kText, 60), counted_documents({7}, 0));
  std::vector<TokenShard> shards;
  for (const char* name : {"a.mkt", "b.mkt"}) shards.push_back(*TokenShard::open(folder / name));
  EXPECT_FALSE(TokenDataset::of_shards(std::move(shards)));
  EXPECT_EQ(TokenDataset::open(folder / "none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(TokenDataset::open(folder.path()).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace minke
