#pragma once
#include <memory>
#include <span>
#include <vector>

#include "minke/nn/attention.h"
#include "minke/nn/linear.h"

namespace minke {

/// x [rows, cols], row-major, as [cols, rows].
std::vector<float> transposed(std::span<const float> x, int64_t rows, int64_t cols);

/// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, 2.1; -V3, eq. 1-11), in two forms
/// from one set of weights:
///
///   expanded   keys and values of every head are made from the latents: fewer operations for many
///              queries. Training, f32, and the rows of prompts.
///   absorbed   q W_UK is compared with the latents themselves, and W_UV applied to their weighted
///              sum: what generated rows take (AttentionSegment::generated), whatever the batch or
///              the chunk is.
///
/// Over a cache of latents (KvPages::latent) a prompt's rows expand those of their whole sequence,
/// as the cache has rounded them, so that chunks do not change a bit. A cache of expanded keys and
/// values needs no absorbed form. The two forms agree to rounding.
struct Mla {
  kernels::MlaShape shape;
  int64_t kv_lora_rank = 0;
  double score_scale = 0.0;
  Linear q;     ///< of normed inputs, or of the normed latent q_a
  Linear q_a;   ///< of normed inputs; without rows where queries have no latent
  Linear kv_a;  ///< of normed inputs; rows: latent, the rope part of all keys
  const Parameter* kv_a_norm = nullptr;
  Linear kv_b;              ///< rows: of each head the rest of its keys, then its values
  std::vector<Linear> k_b;  ///< W_UK^T of each head, [kv_lora_rank, nope_dim]; if it is absorbed
  std::vector<Linear> v_b;  ///< W_UV of each head, [value_dim, kv_lora_rank]; if it is absorbed
  Linear output;

  /// The absorbed form of the next head.
  void add_head(Precision precision, Parameter k, Parameter v);
  /// What an adapter adds to kv_b, in the absorbed form of all heads; kv_b has it already.
  void absorb_lora(const Device& device, const LoraDelta& delta);
  /// x + attention(x): [n, hidden] -> [n, hidden]. `rope` rotates x's rows by its head_dim columns;
  /// seq_len is that of a batch without a cache. x may be overwritten.
  Tensor forward(const Context& context, const Tensor& x, kernels::RopeArgs rope, const KvView& kv,
                 int64_t seq_len, std::span<const int32_t> lengths, int64_t layer) const;

 private:
  // What k_b and v_b are of: kv_b, and its addends, in other words.
  std::vector<std::unique_ptr<const Parameter>> absorbed_;

  const Parameter* absorbed(Parameter parameter);

  Tensor mix_latents(const Context& context, const Tensor& q_heads, const Tensor& latent,
                     const Tensor& k_rope, const KvView& kv, int64_t layer) const;
  void mix_expanded(const Context& context, const Tensor& q_heads,
                    const kernels::AttentionSegment& segment, const kernels::KvPages& pages,
                    const Tensor& out) const;
  void mix_absorbed(const Context& context, const Tensor& q_heads,
                    std::vector<kernels::AttentionSegment> segments, const kernels::KvPages& pages,
                    const Tensor& out) const;
};

/// DeepSeek's code leaves the norms of both latents at their default, whatever rms_norm_eps is.
inline constexpr double kLatentEps = 1e-6;

}  // namespace minke
