#include "minke/engine/model_runner.h"

#include <algorithm>

namespace minke {

ModelRunner::ModelRunner(const Device& device, const Model& model, DType kv_dtype,
                         int64_t num_pages)
    : device_(device),
      model_(model),
      pages_(model.config().kv_pages(kv_dtype)),
      memory_(Tensor::zeros(DType::kI8, {num_pages, pages_.page_bytes()})) {
  pages_.data = memory_.view().data;
}

ForwardBatch ModelRunner::batch_of(const std::vector<Rows>& sequences) const {
  ForwardBatch batch;
  batch.kv.pages = pages_;
  for (const Rows& rows : sequences) {
    const auto num_rows = static_cast<int64_t>(rows.tokens.size());
    const auto row_begin = static_cast<int64_t>(batch.tokens.size());
    MK_CHECK(
        num_rows > 0 && rows.position + num_rows <=
                            static_cast<int64_t>(rows.page_table->size()) * kernels::kPageTokens,
        "model runner: {} rows from {} in {} pages", num_rows, rows.position,
        rows.page_table->size());
    const int64_t prompt_rows = std::clamp<int64_t>(rows.num_prompt - rows.position, 0, num_rows);
    const int64_t position = rows.position - rows.first_page * kernels::kPageTokens;
    const int32_t* pages = rows.page_table->data() + rows.first_page;
    if (prompt_rows > 0) batch.kv.segments.push_back({row_begin, prompt_rows, position, pages});
    if (prompt_rows < num_rows) {
      batch.kv.segments.push_back(
          {row_begin + prompt_rows, num_rows - prompt_rows, position + prompt_rows, pages, true});
    }
    batch.tokens.insert(batch.tokens.end(), rows.tokens.begin(), rows.tokens.end());
    for (int64_t i = 0; i < num_rows; ++i) {
      batch.positions.push_back(static_cast<int32_t>(rows.position + i));
    }
    for (int64_t i = num_rows - rows.num_logits; i < num_rows; ++i) {
      batch.logit_rows.push_back(static_cast<int32_t>(row_begin + i));
    }
  }
  // A step in which no prompt ends computes one row's logits for nothing, which is still cheaper
  // than a second kind of forward.
  if (batch.logit_rows.empty()) batch.logit_rows.push_back(0);
  return batch;
}

Tensor ModelRunner::run(const std::vector<Rows>& sequences, Tensor* hidden) {
  return model_.forward({device_}, batch_of(sequences), hidden);
}

Tensor ModelRunner::run_mtp(const std::vector<Rows>& sequences, const Tensor& hidden,
                            std::span<const int32_t> hidden_rows) {
  const Context context{device_};
  Tensor states = ops::gather_rows(context, hidden, hidden_rows);
  return model_.forward_mtp(context, batch_of(sequences), 1, states);
}

}  // namespace minke
