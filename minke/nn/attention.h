#pragma once
#include <vector>

#include "minke/kernels/attention.h"
#include "minke/ops/ops.h"

namespace minke {

/// The cache of a batch: pages of all layers and, for each sequence in the batch, its rows and page
/// table. Without pages (training) the batch is whole sequences.
struct KvView {
  kernels::KvPages pages;  ///< as layer 0 sees them
  std::vector<kernels::AttentionSegment> segments;

  bool cached() const { return pages.data != nullptr; }
};

/// Causal grouped-query attention of rows q [n, heads * d] over keys and values: with a cache, k
/// and v are appended to layer `layer`'s pages first and the rows attend over their sequence's
/// pages; without, over their own sequence of `shape`. The same kernel either way.
Tensor attention(const Context& context, const Tensor& q, const Tensor& k, const Tensor& v,
                 const ops::AttentionShape& shape, const KvView& kv, int64_t layer);

}  // namespace minke
