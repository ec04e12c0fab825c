#include "minke/eval/scoring.h"

#include <algorithm>
#include <numeric>

#include "minke/autograd/context.h"
#include "minke/kernels/panel.h"
#include "minke/kernels/pointwise.h"

namespace minke {
namespace {

// Rows whose logits are held at once: 128 x 49152 x 4 bytes are 25 MB for SmolLM2, and a matmul of
// 128 rows is near its best speed.
constexpr size_t kChunkRows = 128;

}  // namespace

Result<Scorer> Scorer::create(const Device& device, const Model& model, DType kv_dtype,
                              int context) {
  const int64_t limit = model.config().max_position_embeddings;
  if (context < 1 || context > limit) {
    return fail(ErrorCode::kWillNotFit, "a window of {} tokens, but the model was made for 1 to {}",
                context, limit);
  }
  return Scorer(device, model, kv_dtype, context);
}

Scorer::Scorer(const Device& device, const Model& model, DType kv_dtype, int context)
    : device_(&device),
      model_(&model),
      context_(context),
      pages_(model.config().kv_pages(kv_dtype)) {
  const int64_t num_pages = (context + kernels::kPageTokens - 1) / kernels::kPageTokens;
  memory_ = Tensor::zeros(DType::kI8, {num_pages, pages_.page_bytes()});
  pages_.data = memory_.view().data;
  page_table_.resize(static_cast<size_t>(num_pages));
  std::iota(page_table_.begin(), page_table_.end(), 0);
}

Result<void> Scorer::check(std::span<const int32_t> ids) const {
  if (ids.size() > static_cast<size_t>(context_)) {
    return fail(ErrorCode::kUsage, "{} tokens to score, at most {} were planned", ids.size(),
                context_);
  }
  for (const int32_t id : ids) {
    if (id >= 0 && id < model_->config().vocab_size) continue;
    return fail(ErrorCode::kUsage, "token id {} is outside the vocabulary of {}", id,
                model_->config().vocab_size);
  }
  return {};
}

// Rows [begin, begin + rows) of the sequence, whose keys and values go to the pages.
ForwardBatch Scorer::batch_of(std::span<const int32_t> ids, size_t begin, size_t rows) const {
  ForwardBatch batch;
  batch.tokens.assign(ids.begin() + begin, ids.begin() + begin + rows);
  batch.positions.resize(rows);
  std::iota(batch.positions.begin(), batch.positions.end(), static_cast<int32_t>(begin));
  batch.kv.pages = pages_;
  batch.kv.segments = {
      {0, static_cast<int64_t>(rows), static_cast<int64_t>(begin), page_table_.data()}};
  return batch;
}

Result<void> Scorer::forward(std::span<const int32_t> ids, size_t chunk,
                             const std::function<void(size_t, const Tensor&)>& sink) {
  MK_TRY(check(ids));
  cached_ids_.clear();
  const Context context{*device_};
  for (size_t begin = 0; begin < ids.size(); begin += chunk) {
    const size_t rows = std::min(chunk, ids.size() - begin);
    sink(begin, model_->forward(context, batch_of(ids, begin, rows)));
  }
  return {};
}

Result<std::vector<double>> Scorer::score(std::span<const int32_t> ids) {
  MK_TRY(check(ids));
  std::vector<double> log_probs;
  if (ids.empty()) return log_probs;
  // The last token predicts nothing, so it need not be run.
  const auto sink = [&](size_t begin, const Tensor& logits) {
    const Tensor losses = Tensor::zeros(DType::kF32, {1, logits.size(0)});
    kernels::cross_entropy(*device_, logits.view(), ids.data() + begin + 1, losses.view());
    for (const float loss : losses.span<float>()) log_probs.push_back(-static_cast<double>(loss));
  };
  MK_TRY(forward(ids.first(ids.size() - 1), kChunkRows, sink));
  return log_probs;
}

Result<std::vector<double>> Scorer::score_from(std::span<const int32_t> ids, size_t first) {
  MK_CHECK(first >= 1 && first <= ids.size(), "score_from: {} of {} ids", first, ids.size());
  MK_TRY(check(ids));
  if (cached_version_ != model_->parameters().version()) cached_ids_.clear();
  const auto common = std::mismatch(ids.begin(), ids.end(), cached_ids_.begin(), cached_ids_.end());
  const auto num_common = static_cast<size_t>(common.first - ids.begin());
  const size_t last = ids.size() - 1;  // the last token predicts nothing, so it need not be run
  cached_ids_.assign(ids.begin(), ids.begin() + last);
  cached_version_ = model_->parameters().version();
  const Context context{*device_};
  std::vector<double> log_probs;
  for (size_t begin = std::min(num_common, first - 1); begin < last; begin += kChunkRows) {
    const size_t rows = std::min(kChunkRows, last - begin);
    // Rows without a wanted successor only fill the cache; one must be asked for.
    const size_t wanted = std::clamp(first - 1, begin, begin + rows - 1);
    ForwardBatch batch = batch_of(ids, begin, rows);
    batch.logit_rows.resize(begin + rows - wanted);
    std::iota(batch.logit_rows.begin(), batch.logit_rows.end(),
              static_cast<int32_t>(wanted - begin));
    const Tensor logits = model_->forward(context, batch);
    if (begin + rows < first) continue;
    const Tensor losses = Tensor::zeros(DType::kF32, {1, logits.size(0)});
    kernels::cross_entropy(*device_, logits.view(), ids.data() + wanted + 1, losses.view());
    for (const float loss : losses.span<float>()) log_probs.push_back(-static_cast<double>(loss));
  }
  return log_probs;
}

}  // namespace minke
