#pragma once
#include <memory>

#include "minke/data/batch_sources.h"
#include "minke/data/row_order.h"

namespace minke {

/// Windows of a stream of texts; see make_batches().
class TextBatches final : public BatchSource {
 public:
  static Result<std::unique_ptr<BatchSource>> make(TokenDataset dataset,
                                                   const BatchOptions& options);
  Result<TokenBatch> batch(int64_t step) const override;
  int64_t steps_per_epoch() const override { return order_.steps_per_epoch(); }

 private:
  TextBatches(TokenDataset dataset, const BatchOptions& options, RowOrder order)
      : dataset_(std::move(dataset)), options_(options), order_(order) {}
  TokenRange window(int64_t step, int64_t row, const RowOrder::Row& of) const;
  Result<void> append(TokenRange inputs, TokenBatch& batch) const;

  TokenDataset dataset_;
  BatchOptions options_;
  RowOrder order_;
};

}  // namespace minke
