#include "minke/nn/mla.h"

#include <algorithm>
#include <numeric>

namespace minke {
namespace {

// Of a prompt's expanded keys and values as many heads are made at a time as take about this much.
constexpr int64_t kExpandedBytesMax = int64_t{64} << 20;

std::vector<const Linear*> pointers(const std::vector<Linear>& linears) {
  std::vector<const Linear*> all;
  for (const Linear& linear : linears) all.push_back(&linear);
  return all;
}

}  // namespace

std::vector<float> transposed(std::span<const float> x, int64_t rows, int64_t cols) {
  std::vector<float> out(x.size());
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      out[static_cast<size_t>(col * rows + row)] = x[static_cast<size_t>(row * cols + col)];
    }
  }
  return out;
}

const Parameter* Mla::absorbed(Parameter parameter) {
  return absorbed_.emplace_back(std::make_unique<const Parameter>(std::move(parameter))).get();
}

void Mla::add_head(Precision precision, Parameter k, Parameter v) {
  k_b.push_back(Linear({absorbed(std::move(k))}, precision));
  v_b.push_back(Linear({absorbed(std::move(v))}, precision));
}

// Of a head whose rows of B are B_k and B_v, W_UK^T gets A^T B_k^T and W_UV gets B_v A.
void Mla::absorb_lora(const Device& device, const LoraDelta& delta) {
  const int64_t rank = delta.rank, nope = shape.nope_dim, value = shape.value_dim;
  const auto packed = [&](int64_t rows, int64_t cols, std::span<const float> values) {
    return absorbed(packed_parameter(device, DType::kF32, rows, cols, values));
  };
  const std::span<const float> b(delta.b);
  const Parameter* a = packed(rank, kv_lora_rank, delta.a);
  const Parameter* a_transposed =
      packed(kv_lora_rank, rank, transposed(delta.a, rank, kv_lora_rank));
  for (int64_t head = 0; head < shape.num_heads; ++head) {
    const int64_t first = head * (nope + value);
    const auto b_k = b.subspan(static_cast<size_t>(first * rank), static_cast<size_t>(nope * rank));
    const auto b_v =
        b.subspan(static_cast<size_t>((first + nope) * rank), static_cast<size_t>(value * rank));
    const auto index = static_cast<size_t>(head);
    k_b[index].add_lora(
        {packed(rank, nope, transposed(b_k, nope, rank)), a_transposed, delta.scale, 0});
    v_b[index].add_lora({a, packed(value, rank, b_v), delta.scale, 0});
  }
}

Tensor Mla::forward(const Context& context, const Tensor& x, kernels::RopeArgs rope,
                    const KvView& kv, int64_t seq_len, std::span<const int32_t> lengths,
                    int64_t layer) const {
  const Tensor kv_rows = kv_a.forward(context, x);  // [n, kv_lora_rank + rope_dim]
  const Tensor latent = ops::rms_norm(context, ops::columns(context, kv_rows, 0, kv_lora_rank),
                                      kv_a_norm->tensor(context), kLatentEps);
  const Tensor k_rope = ops::rope(
      context, ops::columns(context, kv_rows, kv_lora_rank, kv_lora_rank + shape.rope_dim), rope);
  rope.head_size = shape.key_dim();
  const Tensor q_input = q_a.rows() > 0 ? q_a.forward(context, x) : x;
  if (kv.cached() && kv.pages.latent) {
    const Tensor q_heads = ops::rope(context, q.forward(context, q_input), rope);
    return output.forward_add(context, mix_latents(context, q_heads, latent, k_rope, kv, layer), x);
  }
  const auto mix = [=, this, &kv](const Context& c) {
    const Tensor q_heads = ops::rope(c, q.forward(c, q_input), rope);
    const Tensor expanded = kv_b.forward(c, latent);  // [n, heads * (nope + value)]
    const Tensor k = ops::mla_keys(c, expanded, k_rope, shape);
    const Tensor v = ops::mla_values(c, expanded, shape);
    const ops::AttentionShape attention_shape{shape.num_heads, shape.num_heads, shape.key_dim(),
                                              seq_len,         shape.value_dim, score_scale,
                                              lengths};
    return attention(c, q_heads, k, v, attention_shape, kv, layer);
  };
  const Tensor mixed = context.remakes_inputs ? recompute(context, mix) : mix(context);
  return output.forward_add(context, mixed, x);
}

// The weighted values of each row's heads: [n, heads * value_dim].
Tensor Mla::mix_latents(const Context& context, const Tensor& q_heads, const Tensor& latent,
                        const Tensor& k_rope, const KvView& kv, int64_t layer) const {
  MK_CHECK(!context.records(q_heads, latent, k_rope), "mla: no gradient through the KV cache");
  kernels::KvPages pages = kv.pages;
  pages.data += layer * pages.layer_bytes();
  kernels::write_kv(context.device, k_rope.view(), latent.view(), kv.segments.data(),
                    static_cast<int64_t>(kv.segments.size()), pages);
  const Tensor out =
      context.empty(DType::kF32, {q_heads.size(0), shape.num_heads * shape.value_dim});
  for (auto at = kv.segments.begin(); at != kv.segments.end();) {
    if (!at->generated) {
      mix_expanded(context, q_heads, *at++, pages, out);
      continue;
    }
    const auto end =
        std::find_if(at, kv.segments.end(), [](const auto& s) { return !s.generated; });
    mix_absorbed(context, q_heads, {at, end}, pages, out);
    at = end;
  }
  return out;
}

// The rows of a prompt's segment, over pages of f32 that only they need.
void Mla::mix_expanded(const Context& context, const Tensor& q_heads,
                       const kernels::AttentionSegment& segment, const kernels::KvPages& pages,
                       const Tensor& out) const {
  const Device& device = context.device;
  const int64_t num_keys = segment.position + segment.num_rows, head_rows = shape.expanded_dim();
  const Tensor k_rope = context.empty(DType::kF32, {num_keys, shape.rope_dim});
  const Tensor latent = context.empty(DType::kF32, {num_keys, kv_lora_rank});
  kernels::read_latents(device, pages, segment.page_table, k_rope.view(), latent.view());

  kernels::KvPages own{nullptr, DType::kF32, 1, shape.key_dim(), 1, shape.value_dim};
  const int64_t num_pages = (num_keys + kernels::kPageTokens - 1) / kernels::kPageTokens;
  std::vector<int32_t> page_table(static_cast<size_t>(num_pages));
  std::iota(page_table.begin(), page_table.end(), 0);
  // Parts of kv_b are taken in whole panels, which so many heads make.
  const int64_t step = kernels::kPanelRows / std::gcd(head_rows, int64_t{kernels::kPanelRows});
  const int64_t heads_max = kExpandedBytesMax / (num_pages * own.page_bytes()) / step * step;
  own.num_kv_heads = std::min(std::max(heads_max, step), shape.num_heads);
  const Tensor memory = context.empty(DType::kI8, {num_pages, own.page_bytes()});
  own.data = memory.view().data;

  const Tensor q_rows = q_heads.rows(segment.row_begin, segment.row_begin + segment.num_rows);
  const Tensor out_rows = out.rows(segment.row_begin, segment.row_begin + segment.num_rows);
  const kernels::AttentionSegment keys{0, num_keys, 0, page_table.data()};
  const kernels::AttentionSegment queries{0, segment.num_rows, segment.position, page_table.data()};
  for (int64_t head = 0; head < shape.num_heads; head += own.num_kv_heads) {
    kernels::MlaShape part = shape;
    part.num_heads = own.num_kv_heads = std::min(own.num_kv_heads, shape.num_heads - head);
    const int64_t end = head + part.num_heads;
    const Tensor expanded = kv_b.forward_rows(context, latent, head * head_rows, end * head_rows);
    const Tensor k = ops::mla_keys(context, expanded, k_rope, part);
    const Tensor v = ops::mla_values(context, expanded, part);
    kernels::write_kv(device, k.view(), v.view(), &keys, 1, own);
    kernels::attention(device, q_rows.columns(head * part.key_dim(), end * part.key_dim()).view(),
                       &queries, 1, own, part.num_heads, score_scale,
                       out_rows.columns(head * part.value_dim, end * part.value_dim).view());
  }
}

// The rows of segments that follow one another.
void Mla::mix_absorbed(const Context& context, const Tensor& q_heads,
                       std::vector<kernels::AttentionSegment> segments,
                       const kernels::KvPages& pages, const Tensor& out) const {
  const Device& device = context.device;
  const int64_t begin = segments.front().row_begin;
  const int64_t end = segments.back().row_begin + segments.back().num_rows;
  for (kernels::AttentionSegment& segment : segments) segment.row_begin -= begin;
  const int64_t n = end - begin, heads = shape.num_heads;
  const auto empty = [&](int64_t rows, int64_t cols) {
    return context.empty(DType::kF32, {rows, cols});
  };
  const std::vector<int64_t> group_rows(static_cast<size_t>(heads), n);
  const Tensor q_rows = q_heads.rows(begin, end);

  const Tensor q_nope = empty(heads * n, shape.nope_dim), q_rope = empty(heads * n, shape.rope_dim);
  kernels::heads_to_rows(device, q_rows.view(), heads, 0, q_nope.view());
  kernels::heads_to_rows(device, q_rows.view(), heads, shape.nope_dim, q_rope.view());
  const Tensor q_latent = Linear::forward_grouped(context, q_nope, pointers(k_b), group_rows);
  const Tensor query = empty(n, heads * pages.head_dim);
  kernels::rows_to_heads(device, q_latent.view(), heads, 0, query.view());
  kernels::rows_to_heads(device, q_rope.view(), heads, kv_lora_rank, query.view());

  const Tensor mixed = empty(n, heads * kv_lora_rank), mixed_rows = empty(heads * n, kv_lora_rank);
  kernels::attention(device, query.view(), segments.data(), static_cast<int64_t>(segments.size()),
                     pages, heads, score_scale, mixed.view());
  kernels::heads_to_rows(device, mixed.view(), heads, 0, mixed_rows.view());
  const Tensor values = Linear::forward_grouped(context, mixed_rows, pointers(v_b), group_rows);
  kernels::rows_to_heads(device, values.view(), heads, 0, out.rows(begin, end).view());
}

}  // namespace minke
