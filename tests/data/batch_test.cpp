// Goal: micro-batches together are the batch. Method: a batch of rows with one and several
// sequences, cut at every place and joined again.
#include "minke/data/batch.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

TokenBatch example() {
  TokenBatch batch;
  batch.append({1, 2, 3}, {2, 3, kNoTarget}, true);
  batch.append({4, 5}, {5, kNoTarget}, false);
  batch.append({6, 7, 8, 9}, {7, 8, 9, 10}, true);
  batch.append({11}, {kNoTarget}, true);
  return batch;
}

TEST(TokenBatch, CountsItsRowsTokensAndTargets) {
  const TokenBatch batch = example();
  EXPECT_EQ(batch.num_rows(), 3);
  EXPECT_EQ(batch.num_tokens(), 10);
  EXPECT_EQ(batch.num_targets(), 7);
  EXPECT_EQ(batch.seq_len, 5);
  EXPECT_EQ(batch.positions, (std::vector<int32_t>{0, 1, 2, 0, 1, 0, 1, 2, 3, 0}));
}

TEST(TokenBatch, RowsTakesTheirSequencesWithThem) {
  const TokenBatch rows = example().rows(1, 3);
  EXPECT_EQ(rows.tokens, (std::vector<int32_t>{6, 7, 8, 9, 11}));
  EXPECT_EQ(rows.targets, (std::vector<int32_t>{7, 8, 9, 10, kNoTarget}));
  EXPECT_EQ(rows.positions, (std::vector<int32_t>{0, 1, 2, 3, 0}));
  EXPECT_EQ(rows.lengths, (std::vector<int32_t>{4, 1}));
  EXPECT_EQ(rows.row_lengths, (std::vector<int32_t>{4, 1}));
}

TEST(TokenBatch, RowsCutAnywhereAreTheWholeAgain) {
  const TokenBatch batch = example();
  for (int64_t cut = 0; cut <= batch.num_rows(); ++cut) {
    TokenBatch left = batch.rows(0, cut);
    const TokenBatch right = batch.rows(cut, batch.num_rows());
    left.tokens.insert(left.tokens.end(), right.tokens.begin(), right.tokens.end());
    left.lengths.insert(left.lengths.end(), right.lengths.begin(), right.lengths.end());
    EXPECT_EQ(left.tokens, batch.tokens);
    EXPECT_EQ(left.lengths, batch.lengths);
    EXPECT_EQ(left.num_targets() + right.num_targets(), batch.num_targets());
  }
}

TEST(PairBatch, PairsTakesBothSides) {
  PairBatch batch{example(), example(), {7, 8, 9}};
  const PairBatch last = batch.pairs(2, 3);
  EXPECT_EQ(last.num_pairs(), 1);
  EXPECT_EQ(last.chosen.tokens, (std::vector<int32_t>{11}));
  EXPECT_EQ(last.rejected.tokens, (std::vector<int32_t>{11}));
  EXPECT_EQ(last.indices, (std::vector<int64_t>{9}));
}

}  // namespace
}  // namespace minke
