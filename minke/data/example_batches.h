#pragma once
#include <memory>
#include <vector>

#include "minke/data/batch_sources.h"
#include "minke/data/row_order.h"

namespace minke {

/// A document's tokens up to its last target, that one excluded: what a model reads of it. Empty
/// when it has no target within `seq_len`.
TokenRange example_inputs(const TokenDataset& dataset, int64_t document, int64_t seq_len);

/// Appends an example with its targets as a sequence.
Result<void> append_example(const TokenDataset& dataset, TokenRange inputs, bool begins_row,
                            TokenBatch& batch);

/// Rows of examples; see make_batches().
class ExampleBatches final : public BatchSource {
 public:
  static Result<std::unique_ptr<BatchSource>> make(TokenDataset dataset,
                                                   const BatchOptions& options, LeftOut& left_out);
  Result<TokenBatch> batch(int64_t step) const override;
  int64_t steps_per_epoch() const override { return order_.steps_per_epoch(); }

 private:
  explicit ExampleBatches(TokenDataset dataset) : dataset_(std::move(dataset)) {}

  TokenDataset dataset_;
  std::vector<TokenRange> inputs_;          // of each example that is not dropped
  std::vector<std::vector<int64_t>> rows_;  // indices into inputs_
  RowOrder order_;
};

/// Rows of pairs; see make_pair_batches().
class PairBatches final : public PairSource {
 public:
  static Result<std::unique_ptr<PairSource>> make(TokenDataset dataset, const BatchOptions& options,
                                                  LeftOut& left_out);
  Result<PairBatch> batch(int64_t step) const override;
  int64_t steps_per_epoch() const override { return order_.steps_per_epoch(); }

 private:
  explicit PairBatches(TokenDataset dataset) : dataset_(std::move(dataset)) {}

  struct Pair {
    int64_t index = 0;  // in the data set
    TokenRange chosen;
    TokenRange rejected;
  };
  TokenDataset dataset_;
  std::vector<Pair> pairs_;
  RowOrder order_;
};

}  // namespace minke
