#include "minke/data/text_batches.h"

#include <algorithm>

#include "minke/base/check.h"

namespace minke {

Result<std::unique_ptr<BatchSource>> TextBatches::make(TokenDataset dataset,
                                                       const BatchOptions& options) {
  const int64_t num_tokens = dataset.info().num_tokens;
  // Evaluation reads what is left over, too.
  const bool whole = options.order != BatchOrder::kAscending;
  const int64_t windows = whole ? (num_tokens - 1) / options.seq_len
                                : (num_tokens - 1 + options.seq_len - 1) / options.seq_len;
  if (windows < 1) {
    return fail(ErrorCode::kUsage,
                "{} has {} tokens when one row needs {}: take a shorter --seq-len or more data",
                dataset.shards().front().name(), num_tokens, whole ? options.seq_len + 1 : 2);
  }
  const RowOrder order{
      .count = windows, .rows = options.rows, .seed = options.seed, .order = options.order};
  return std::unique_ptr<BatchSource>(new TextBatches(std::move(dataset), options, order));
}

// The tokens that a row reads; each is followed by one that is its target.
TokenRange TextBatches::window(int64_t step, int64_t row, const RowOrder::Row& of) const {
  const int64_t last = dataset_.info().num_tokens - 1;
  const int64_t seq_len = options_.seq_len;
  if (options_.order == BatchOrder::kAscending) {
    return {of.index * seq_len, std::min((of.index + 1) * seq_len, last)};
  }
  if (options_.order == BatchOrder::kSampled) {
    const auto draw = static_cast<uint64_t>(step * options_.rows + row);
    const auto places = static_cast<uint64_t>(last - seq_len + 1);
    const auto begin = static_cast<int64_t>(random_at(options_.seed, draw) % places);
    return {begin, begin + seq_len};
  }
  // What windows leave over moves them, so that passes differ in where they are cut, too.
  const auto spare = static_cast<uint64_t>(last - order_.count * seq_len + 1);
  constexpr uint64_t kShiftDraws = 0x5117;  // apart from the draws of the shuffle
  const auto shift = static_cast<int64_t>(
      random_at(options_.seed ^ kShiftDraws, static_cast<uint64_t>(of.epoch)) % spare);
  return {of.index * seq_len + shift, (of.index + 1) * seq_len + shift};
}

Result<void> TextBatches::append(TokenRange inputs, TokenBatch& batch) const {
  std::vector<int32_t> ids;
  MK_TRY(dataset_.read({inputs.begin, inputs.end + 1}, ids));
  for (int64_t begin = inputs.begin; begin < inputs.end;) {
    int64_t end = inputs.end;
    bool ends_document = false;
    if (options_.separate_documents) {
      const int64_t document_end = dataset_.document(dataset_.document_of(begin)).end;
      ends_document = document_end <= end;
      end = std::min(end, document_end);
    }
    const auto at = ids.begin() - inputs.begin;
    const std::vector<int32_t> tokens(at + begin, at + end);
    std::vector<int32_t> targets(at + begin + 1, at + end + 1);
    // What another document begins with cannot be foretold.
    if (ends_document) targets.back() = kNoTarget;
    batch.append(tokens, targets, begin == inputs.begin);
    begin = end;
  }
  return {};
}

Result<TokenBatch> TextBatches::batch(int64_t step) const {
  MK_CHECK(step >= 0, "batches: step {}", step);
  TokenBatch batch;
  const std::vector<RowOrder::Row> rows = order_.of_step(step);
  for (size_t row = 0; row < rows.size(); ++row) {
    MK_TRY(append(window(step, static_cast<int64_t>(row), rows[row]), batch));
  }
  return batch;
}

}  // namespace minke
