#pragma once
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "minke/base/result.h"
#include "minke/models/model.h"
#include "minke/tensor/device.h"
#include "minke/tensor/tensor.h"

namespace minke {

/// Log-probabilities of given tokens under a model: the forward that serves, with a KV cache of one
/// sequence, in chunks, so that the logits of a long window are never in memory at once. One
/// thread.
class Scorer {
 public:
  /// For windows of at most `context` tokens. `device` and `model` must outlive it. kv_dtype is
  /// f32, f16 or i8. kWillNotFit when the model was made for fewer tokens.
  static Result<Scorer> create(const Device& device, const Model& model, DType kv_dtype,
                               int context);

  /// Calls sink(i, logits [n, vocab_size] after ids[i] to ids[i + n - 1]) for chunks of `chunk`
  /// ids, in order; a new sequence begins with each call. kUsage for more ids than the context or
  /// ids outside the vocabulary.
  Result<void> forward(std::span<const int32_t> ids, size_t chunk,
                       const std::function<void(size_t, const Tensor&)>& sink);

  /// ln p(ids[i] | ids[0..i-1]) for i = 1 .. ids.size()-1, in f32 precision. Errors: those of
  /// forward().
  Result<std::vector<double>> score(std::span<const int32_t> ids);

  /// The same for i = first .. ids.size()-1 only, first >= 1: the head sees no other rows, and what
  /// ids have in common with those of the last call (unless the weights changed since) is read from
  /// the cache, with the same bits. For several continuations of one text.
  Result<std::vector<double>> score_from(std::span<const int32_t> ids, size_t first);

 private:
  Result<void> check(std::span<const int32_t> ids) const;
  ForwardBatch batch_of(std::span<const int32_t> ids, size_t begin, size_t rows) const;
  Scorer(const Device& device, const Model& model, DType kv_dtype, int context);

  const Device* device_;
  const Model* model_;
  int context_;
  kernels::KvPages pages_;
  Tensor memory_;                    // of the pages
  std::vector<int32_t> page_table_;  // the sequence has all pages, in order
  std::vector<int32_t> cached_ids_;  // whose keys and values are in the pages
  uint64_t cached_version_ = 0;      // of the parameters then
};

}  // namespace minke
