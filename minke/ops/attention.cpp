#include "minke/kernels/attention.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "minke/ops/ops.h"

namespace minke::ops {
namespace {

// Rows [begin, begin + num_rows) of a matrix.
View row_range(const Tensor& matrix, int64_t begin, int64_t num_rows) {
  View view = matrix.view();
  view.data += dtype_bytes(view.dtype, begin * view.stride);
  view.rows = num_rows;
  return view;
}

// Each sequence gets pages of its own, one after the other; only the call needs them.
void paged_forward(const Context& context, const Tensor& q, const Tensor& k, const Tensor& v,
                   const AttentionShape& shape, const Tensor& out) {
  const int64_t num_sequences = q.size(0) / shape.seq_len;
  const int64_t sequence_pages = (shape.seq_len + kernels::kPageTokens - 1) / kernels::kPageTokens;
  kernels::KvPages pages{nullptr, q.dtype(), shape.num_kv_heads, shape.head_dim};
  pages.value_dim = shape.value_dim;
  const int64_t num_pages = num_sequences * sequence_pages;
  const Tensor memory =
      context.empty(q.dtype(), {num_pages, pages.page_bytes() / pages.element_bytes()});
  pages.data = memory.view().data;
  // The places after a sequence's end are never attended to, but vectors load them.
  std::memset(pages.data, 0, num_pages * pages.page_bytes());
  std::vector<int32_t> page_table(num_pages);
  std::vector<kernels::AttentionSegment> segments(num_sequences);
  for (int64_t p = 0; p < num_pages; ++p) page_table[p] = static_cast<int32_t>(p);
  for (int64_t s = 0; s < num_sequences; ++s) {
    segments[s] = {s * shape.seq_len, shape.seq_len, 0, page_table.data() + s * sequence_pages};
  }
  kernels::write_kv(context.device, k.view(), v.view(), segments.data(), num_sequences, pages);
  kernels::attention(context.device, q.view(), segments.data(), num_sequences, pages,
                     shape.num_heads, shape.score_scale(), out.view());
}

}  // namespace

double AttentionShape::score_scale() const {
  return scale != 0.0 ? scale : 1.0 / std::sqrt(static_cast<double>(head_dim));
}

Tensor attention(const Context& context, const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionShape& shape) {
  MK_CHECK(shape.seq_len > 0 && q.size(0) % shape.seq_len == 0,
           "attention: {} rows are not whole sequences of {}", q.size(0), shape.seq_len);
  MK_CHECK(q.size(1) == shape.num_heads * shape.head_dim && k.size(0) == q.size(0) &&
               v.size(0) == q.size(0) && k.size(1) == shape.num_kv_heads * shape.head_dim &&
               v.size(1) == shape.num_kv_heads * shape.value_size(),
           "attention: q {}, k {}, v {} for {} heads, {} KV heads of {}", q.shape().text(),
           k.shape().text(), v.shape().text(), shape.num_heads, shape.num_kv_heads, shape.head_dim);
  const Tensor out = context.empty(q.dtype(), {q.size(0), shape.num_heads * shape.value_size()});
  paged_forward(context, q, k, v, shape, out);
  if (!context.records(q, k, v)) return out;
  const Device& device = context.device;
  return context.tape->record(
      "attention", {q.var(), k.var(), v.var()}, out, [&device, q, k, v, shape](const Tensor& dy) {
        const Tensor dq = Tensor::empty(device.arena(), q.dtype(), q.shape());
        const Tensor dk = Tensor::empty(device.arena(), k.dtype(), k.shape());
        const Tensor dv = Tensor::empty(device.arena(), v.dtype(), v.shape());
        const int64_t n = shape.seq_len;
        for (int64_t row = 0; row < q.size(0); row += n) {
          kernels::AttentionGradArgs args;
          args.q = row_range(q, row, n);
          args.k = row_range(k, row, n);
          args.v = row_range(v, row, n);
          args.d_out = row_range(dy, row, n);
          args.dq = row_range(dq, row, n);
          args.dk = row_range(dk, row, n);
          args.dv = row_range(dv, row, n);
          args.num_heads = shape.num_heads;
          args.num_kv_heads = shape.num_kv_heads;
          args.scale = shape.score_scale();
          kernels::attention_grad(device, args);
        }
        return std::vector<Tensor>{dq, dk, dv};
      });
}

}  // namespace minke::ops
