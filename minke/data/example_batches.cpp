#include "minke/data/example_batches.h"

#include <algorithm>

#include "minke/base/check.h"
#include "minke/data/packing.h"
#include "minke/data/text_batches.h"

namespace minke {
namespace {

/// Whether seq_len cuts targets off the document, of which `inputs` are read.
bool is_truncated(const TokenDataset& dataset, int64_t document, TokenRange inputs) {
  const TokenRange all = dataset.document(document);
  for (int64_t token = inputs.end + 1; token < all.end; ++token) {
    if (dataset.has_loss(token)) return true;
  }
  return false;
}

RowOrder order_of(const BatchOptions& options, size_t count) {
  // Windows anywhere are for texts.
  const bool ascending = options.order == BatchOrder::kAscending;
  return {.count = static_cast<int64_t>(count),
          .rows = options.rows,
          .seed = options.seed,
          .order = ascending ? BatchOrder::kAscending : BatchOrder::kShuffled};
}

tl::unexpected<Error> nothing_left(const TokenDataset& dataset, const BatchOptions& options) {
  return fail(ErrorCode::kUsage,
              "{}: none of {} examples has a target in its first {} tokens: take "
              "a longer --seq-len",
              dataset.shards().front().name(), dataset.info().num_documents, options.seq_len);
}

}  // namespace

TokenRange example_inputs(const TokenDataset& dataset, int64_t document, int64_t seq_len) {
  const TokenRange all = dataset.document(document);
  int64_t target = std::min(all.end, all.begin + seq_len + 1) - 1;
  while (target > all.begin && !dataset.has_loss(target)) --target;
  return {all.begin, target};
}

Result<void> append_example(const TokenDataset& dataset, TokenRange inputs, bool begins_row,
                            TokenBatch& batch) {
  std::vector<int32_t> ids;
  MK_TRY(dataset.read({inputs.begin, inputs.end + 1}, ids));
  std::vector<int32_t> targets(ids.begin() + 1, ids.end());
  ids.pop_back();
  for (size_t i = 0; i < targets.size(); ++i) {
    if (!dataset.has_loss(inputs.begin + static_cast<int64_t>(i) + 1)) targets[i] = kNoTarget;
  }
  batch.append(ids, targets, begins_row);
  return {};
}

Result<std::unique_ptr<BatchSource>> ExampleBatches::make(TokenDataset dataset,
                                                          const BatchOptions& options,
                                                          LeftOut& left_out) {
  std::unique_ptr<ExampleBatches> out(new ExampleBatches(std::move(dataset)));
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < out->dataset_.info().num_documents; ++i) {
    const TokenRange inputs = example_inputs(out->dataset_, i, options.seq_len);
    if (inputs.size() == 0) {
      ++left_out.dropped;
      continue;
    }
    if (is_truncated(out->dataset_, i, inputs)) ++left_out.truncated;
    out->inputs_.push_back(inputs);
    lengths.push_back(inputs.size());
  }
  if (lengths.empty()) return nothing_left(out->dataset_, options);
  if (options.pack) {
    out->rows_ = pack_best_fit(lengths, options.seq_len);
  } else {
    for (int64_t i = 0; i < static_cast<int64_t>(lengths.size()); ++i) out->rows_.push_back({i});
  }
  out->order_ = order_of(options, out->rows_.size());
  return std::unique_ptr<BatchSource>(std::move(out));
}

Result<TokenBatch> ExampleBatches::batch(int64_t step) const {
  MK_CHECK(step >= 0, "batches: step {}", step);
  TokenBatch batch;
  for (const RowOrder::Row& row : order_.of_step(step)) {
    bool begins_row = true;
    for (const int64_t index : rows_[static_cast<size_t>(row.index)]) {
      MK_TRY(append_example(dataset_, inputs_[static_cast<size_t>(index)], begins_row, batch));
      begins_row = false;
    }
  }
  return batch;
}

Result<std::unique_ptr<PairSource>> PairBatches::make(TokenDataset dataset,
                                                      const BatchOptions& options,
                                                      LeftOut& left_out) {
  std::unique_ptr<PairBatches> out(new PairBatches(std::move(dataset)));
  const TokenDataset& data = out->dataset_;
  for (int64_t i = 0; i + 1 < data.info().num_documents; i += 2) {
    const Pair pair{.index = i / 2,
                    .chosen = example_inputs(data, i, options.seq_len),
                    .rejected = example_inputs(data, i + 1, options.seq_len)};
    if (pair.chosen.size() == 0 || pair.rejected.size() == 0) {
      ++left_out.dropped;
      continue;
    }
    if (is_truncated(data, i, pair.chosen) || is_truncated(data, i + 1, pair.rejected)) {
      ++left_out.truncated;
    }
    out->pairs_.push_back(pair);
  }
  if (out->pairs_.empty()) return nothing_left(data, options);
  out->order_ = order_of(options, out->pairs_.size());
  return std::unique_ptr<PairSource>(std::move(out));
}

Result<PairBatch> PairBatches::batch(int64_t step) const {
  MK_CHECK(step >= 0, "batches: step {}", step);
  PairBatch batch;
  for (const RowOrder::Row& row : order_.of_step(step)) {
    const Pair& pair = pairs_[static_cast<size_t>(row.index)];
    MK_TRY(append_example(dataset_, pair.chosen, true, batch.chosen));
    MK_TRY(append_example(dataset_, pair.rejected, true, batch.rejected));
    batch.indices.push_back(pair.index);
  }
  return batch;
}

}  // namespace minke
