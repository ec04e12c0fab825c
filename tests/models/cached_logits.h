#pragma once
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "minke/models/model.h"

namespace minke {

/// Logits of all rows [n, vocab], the sequence read through a KV cache in chunks; tokens from
/// num_prompt on (a chunk's first) as generated ones.
inline std::vector<float> cached_logits(const Device& device, const Model& model,
                                        const std::vector<int32_t>& tokens, size_t chunk,
                                        DType kv_dtype, size_t num_prompt = ~size_t{0}) {
  kernels::KvPages kv = model.config().kv_pages(kv_dtype);
  const auto num_pages = static_cast<int64_t>(tokens.size()) / kernels::kPageTokens + 1;
  const Tensor pages = Tensor::zeros(DType::kI8, {num_pages, kv.page_bytes()});
  kv.data = pages.view().data;
  std::vector<int32_t> page_table(static_cast<size_t>(num_pages));
  std::iota(page_table.rbegin(), page_table.rend(), 0);  // in reverse: order must not matter
  std::vector<float> out;
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const size_t rows = std::min(chunk, tokens.size() - begin);
    ForwardBatch batch;
    batch.tokens.assign(tokens.begin() + begin, tokens.begin() + begin + rows);
    batch.positions.resize(rows);
    std::iota(batch.positions.begin(), batch.positions.end(), static_cast<int32_t>(begin));
    batch.kv = {kv,
                {{0, static_cast<int64_t>(rows), static_cast<int64_t>(begin), page_table.data(),
                  begin >= num_prompt}}};
    const Tensor logits = model.forward({device}, batch);
    out.insert(out.end(), logits.span<float>().begin(), logits.span<float>().end());
  }
  return out;
}

}  // namespace minke
