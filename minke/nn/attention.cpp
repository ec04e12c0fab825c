#include "minke/nn/attention.h"

#include <cmath>

namespace minke {

Tensor attention(const Context& context, const Tensor& q, const Tensor& k, const Tensor& v,
                 const ops::AttentionShape& shape, const KvView& kv, int64_t layer) {
  if (!kv.cached()) return ops::attention(context, q, k, v, shape);
  MK_CHECK(!context.records(q, k, v), "attention: no gradient through the KV cache");
  kernels::KvPages pages = kv.pages;
  pages.data += layer * pages.layer_bytes();
  const auto num_segments = static_cast<int64_t>(kv.segments.size());
  Tensor out = context.empty(DType::kF32, q.shape());
  kernels::write_kv(context.device, k.view(), v.view(), kv.segments.data(), num_segments, pages);
  kernels::attention(context.device, q.view(), kv.segments.data(), num_segments, pages,
                     shape.num_heads, 1.0 / std::sqrt(static_cast<double>(shape.head_dim)),
                     out.view());
  return out;
}

}  // namespace minke
