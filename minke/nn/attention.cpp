#include "minke/nn/attention.h"

namespace minke {

Tensor attention(const Context& context, const Tensor& q, const Tensor& k, const Tensor& v,
                 const ops::AttentionShape& shape, const KvView& kv, int64_t layer) {
  if (!kv.cached()) return ops::attention(context, q, k, v, shape);
  MK_CHECK(!context.records(q, k, v), "attention: no gradient through the KV cache");
  kernels::KvPages pages = kv.pages;
  pages.data += layer * pages.layer_bytes();
  const auto num_segments = static_cast<int64_t>(kv.segments.size());
  const Tensor out = context.empty(DType::kF32, {q.size(0), shape.num_heads * shape.value_size()});
  kernels::write_kv(context.device, k.view(), v.view(), kv.segments.data(), num_segments, pages);
  kernels::attention(context.device, q.view(), kv.segments.data(), num_segments, pages,
                     shape.num_heads, shape.score_scale(), out.view());
  return out;
}

}  // namespace minke
