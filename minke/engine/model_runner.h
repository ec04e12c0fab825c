#pragma once
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "minke/autograd/context.h"
#include "minke/models/model.h"

namespace minke {

/// Owns the KV cache's memory and runs forwards over it.
class ModelRunner {
 public:
  /// The pages' memory is asked for at once, but touched only as tokens are written.
  ModelRunner(const Device& device, const Model& model, DType kv_dtype, int64_t num_pages);

  /// Rows of one sequence in a forward.
  struct Rows {
    std::span<const int32_t> tokens;                   ///< to compute
    int64_t position = 0;                              ///< of the first one
    const std::vector<int32_t>* page_table = nullptr;  ///< pages for all tokens up to the last row
    int64_t num_logits = 0;                            ///< last rows whose logits are wanted
    int64_t num_prompt = std::numeric_limits<int64_t>::max();  ///< later tokens were generated
    int64_t first_page = 0;  ///< of the page table that the rows attend over
  };
  /// Computes the rows and returns logits [rows whose are wanted, vocab], in order. `hidden`, where
  /// given, gets the hidden states [rows, hidden_size].
  Tensor run(const std::vector<Rows>& sequences, Tensor* hidden = nullptr);
  /// The same by the model's first MTP module, on rows `hidden_rows` of `hidden`; `tokens` are the
  /// ones after those at the rows' positions.
  Tensor run_mtp(const std::vector<Rows>& sequences, const Tensor& hidden,
                 std::span<const int32_t> hidden_rows);

 private:
  ForwardBatch batch_of(const std::vector<Rows>& sequences) const;

  const Device& device_;
  const Model& model_;
  kernels::KvPages pages_;
  Tensor memory_;  // of the pages
};

}  // namespace minke
