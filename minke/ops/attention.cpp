#include "minke/kernels/attention.h"

#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "minke/ops/ops.h"

namespace minke::ops {
namespace {

// The sequences: rows, all from position 0 on.
std::vector<kernels::AttentionSegment> sequences_of(const AttentionShape& shape, int64_t num_rows) {
  std::vector<kernels::AttentionSegment> sequences;
  int64_t row = 0;
  if (!shape.lengths.empty()) {
    for (const int32_t length : shape.lengths) {
      MK_CHECK(length > 0, "attention: a sequence of {} rows", length);
      sequences.push_back({row, length, 0, nullptr});
      row += length;
    }
  } else {
    MK_CHECK(shape.seq_len > 0, "attention: sequences of {} rows", shape.seq_len);
    for (; row < num_rows; row += shape.seq_len) {
      sequences.push_back({row, shape.seq_len, 0, nullptr});
    }
  }
  MK_CHECK(row == num_rows, "attention: {} rows are not {} whole sequences of {} rows", num_rows,
           sequences.size(), row);
  return sequences;
}

// Each sequence gets pages of its own, one after the other; only the call needs them.
void paged_forward(const Context& context, const Tensor& q, const Tensor& k, const Tensor& v,
                   const AttentionShape& shape, std::vector<kernels::AttentionSegment> sequences,
                   const Tensor& out) {
  const auto pages_of = [](const kernels::AttentionSegment& sequence) {
    return (sequence.num_rows + kernels::kPageTokens - 1) / kernels::kPageTokens;
  };
  int64_t num_pages = 0;
  for (const auto& sequence : sequences) num_pages += pages_of(sequence);
  kernels::KvPages pages{nullptr, q.dtype(), shape.num_kv_heads, shape.head_dim};
  pages.value_dim = shape.value_dim;
  const Tensor memory =
      context.empty(q.dtype(), {num_pages, pages.page_bytes() / pages.element_bytes()});
  pages.data = memory.view().data;
  // The places after a sequence's end are never attended to, but vectors load them.
  std::memset(pages.data, 0, num_pages * pages.page_bytes());
  std::vector<int32_t> page_table(num_pages);
  std::iota(page_table.begin(), page_table.end(), 0);
  const int32_t* next = page_table.data();
  for (auto& sequence : sequences) {
    sequence.page_table = next;
    next += pages_of(sequence);
  }
  const auto num_sequences = static_cast<int64_t>(sequences.size());
  kernels::write_kv(context.device, k.view(), v.view(), sequences.data(), num_sequences, pages);
  kernels::attention(context.device, q.view(), sequences.data(), num_sequences, pages,
                     shape.num_heads, shape.score_scale(), out.view());
}

}  // namespace

double AttentionShape::score_scale() const {
  return scale != 0.0 ? scale : 1.0 / std::sqrt(static_cast<double>(head_dim));
}

Tensor attention(const Context& context, const Tensor& q, const Tensor& k, const Tensor& v,
                 const AttentionShape& shape) {
  MK_CHECK(q.size(1) == shape.num_heads * shape.head_dim && k.size(0) == q.size(0) &&
               v.size(0) == q.size(0) && k.size(1) == shape.num_kv_heads * shape.head_dim &&
               v.size(1) == shape.num_kv_heads * shape.value_size(),
           "attention: q {}, k {}, v {} for {} heads, {} KV heads of {}", q.shape().text(),
           k.shape().text(), v.shape().text(), shape.num_heads, shape.num_kv_heads, shape.head_dim);
  const Tensor out = context.empty(q.dtype(), {q.size(0), shape.num_heads * shape.value_size()});
  const auto sequences = sequences_of(shape, q.size(0));
  paged_forward(context, q, k, v, shape, sequences, out);
  if (!context.records(q, k, v)) return out;
  const Device& device = context.device;
  return context.tape->record(
      "attention", {q.var(), k.var(), v.var()}, out,
      [&device, q, k, v, shape, sequences](const Tensor& dy) {
        const Tensor dq = Tensor::empty(device.arena(), q.dtype(), q.shape());
        const Tensor dk = Tensor::empty(device.arena(), k.dtype(), k.shape());
        const Tensor dv = Tensor::empty(device.arena(), v.dtype(), v.shape());
        kernels::attention_grad(
            device,
            {q.view(), k.view(), v.view(), dy.view(), dq.view(), dk.view(), dv.view(),
             shape.num_heads, shape.num_kv_heads, shape.score_scale()},
            sequences);
        return std::vector<Tensor>{dq, dk, dv};
      });
}

}  // namespace minke::ops
