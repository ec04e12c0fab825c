#include "minke/data/batch_sources.h"

#include "minke/base/check.h"
#include "minke/data/example_batches.h"
#include "minke/data/text_batches.h"

namespace minke {

Result<std::unique_ptr<BatchSource>> make_batches(TokenDataset dataset, const BatchOptions& options,
                                                  LeftOut* left_out) {
  MK_CHECK(options.rows > 0 && options.seq_len > 0, "batches: {} rows of {}", options.rows,
           options.seq_len);
  if (dataset.info().kind == ShardKind::kPairs) {
    return fail(ErrorCode::kUsage,
                "{} holds pairs of answers, which are for preference training (minke dpo)",
                dataset.shards().front().name());
  }
  LeftOut ignored;
  if (dataset.info().kind == ShardKind::kText)
    return TextBatches::make(std::move(dataset), options);
  return ExampleBatches::make(std::move(dataset), options,
                              left_out != nullptr ? *left_out : ignored);
}

Result<std::unique_ptr<PairSource>> make_pair_batches(TokenDataset dataset,
                                                      const BatchOptions& options,
                                                      LeftOut* left_out) {
  MK_CHECK(options.rows > 0 && options.seq_len > 0, "batches: {} pairs of {}", options.rows,
           options.seq_len);
  if (dataset.info().kind != ShardKind::kPairs) {
    return fail(ErrorCode::kUsage,
                "{} holds no pairs of answers: make them of JSONL with chosen and "
                "rejected by minke data prepare",
                dataset.shards().front().name());
  }
  LeftOut ignored;
  return PairBatches::make(std::move(dataset), options, left_out != nullptr ? *left_out : ignored);
}

}  // namespace minke
