#pragma once
#include <cstdint>
#include <span>

#include "minke/kernels/panel.h"
#include "minke/tensor/device.h"
#include "minke/tensor/view.h"

namespace minke::kernels {

/// Copies the rows of k (f32 [rows, num_kv_heads * head_dim]) and v ([rows, num_kv_heads *
/// value_size]) to their places in the pages. In latent pages k is what a key has beyond the
/// latent, [rows, rest_dim], and v the latent.
void write_kv(const Device& device, const ConstView& k, const ConstView& v,
              const AttentionSegment* segments, int64_t num_segments, const KvPages& pages);

/// The inverse for latent pages: k [n, rest_dim] and v [n, value_size] of the first n tokens of a
/// sequence, as rounded as the pages are.
void read_latents(const Device& device, const KvPages& pages, const int32_t* page_table,
                  const View& k, const View& v);

/// Causal attention of each row over its sequence's pages up to and including itself:
/// out = softmax(scale * q k^T) v, heads in groups of num_heads / num_kv_heads that share keys and
/// values. q: f32 [rows, num_heads * head_dim], out: [rows, num_heads * value_size]; write_kv()
/// comes first. Keys are taken in
/// pages from the sequence's start with an online softmax (rescaled by page; Dao et al. 2022), and
/// spans of pages joined in order, so a row's bits do not depend on the batch, the chunk or the
/// threads. head_dim and value_size must be multiples of 16 for the vector kernels.
void attention(const Device& device, const ConstView& q, const AttentionSegment* segments,
               int64_t num_segments, const KvPages& pages, int64_t num_heads, double scale,
               const View& out);

/// The gradients of causal self-attention over `sequences` given whole (no cache), which follow one
/// another in the rows: q [n, heads * d], k [n, kv_heads * d], v [n, kv_heads * e], d_out [n, heads
/// * e]; dq, dk, dv are overwritten. Probabilities are computed anew (O(longest) memory a thread).
/// f32 or f64; the vector kernels take f32 heads of d and e up to 256, multiples of 16. The bits of
/// a sequence do not depend on the others or the threads.
void attention_grad(const Device& device, const AttentionGradArgs& args,
                    std::span<const AttentionSegment> sequences);

}  // namespace minke::kernels
