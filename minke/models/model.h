#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "minke/autograd/recompute.h"
#include "minke/format/fp8_scales.h"
#include "minke/format/gguf.h"
#include "minke/format/weight_file.h"
#include "minke/nn/attention.h"
#include "minke/nn/parameter.h"
#include "minke/nn/precision.h"
#include "minke/nn/rope_table.h"

namespace minke {

/// Multi-head latent attention (DeepSeek-V2 and later); kv_lora_rank is 0 in models without it.
struct MlaConfig {
  int64_t q_lora_rank = 0;  ///< 0: queries straight from the hidden state (V2-Lite)
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0;
  int64_t qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;
  double score_scale = 0.0;    ///< of q . k: 1 / sqrt(nope + rope), and YaRN's factor
  bool caches_latents = true;  ///< the KV cache has latents, not expanded keys and values
};

/// Mixture of experts (DeepSeekMoE); n_routed_experts is 0 in dense models.
struct MoeConfig {
  int64_t n_routed_experts = 0;
  int64_t n_shared_experts = 0;  ///< one feed-forward of so many times the width
  int64_t moe_intermediate_size = 0;
  int64_t first_k_dense_replace = 0;     ///< layers with an ordinary feed-forward
  int64_t decoder_sparse_step = 1;       ///< Qwen3: only every so many layers have experts
  std::vector<int64_t> mlp_only_layers;  ///< Qwen3: these have not
  kernels::RouteArgs routing;            ///< without the bias, which is a weight
  bool has_bias = false;                 ///< e_score_correction_bias (V3)

  /// Whether layer `index` has experts, else it has an ordinary feed-forward.
  bool has_experts(int64_t index) const {
    return n_routed_experts > 0 && index >= first_k_dense_replace &&
           (index + 1) % decoder_sparse_step == 0 &&
           std::find(mlp_only_layers.begin(), mlp_only_layers.end(), index) ==
               mlp_only_layers.end();
  }
};

/// What GPT-2 has of its own.
struct Gpt2Config {
  kernels::GeluForm gelu = kernels::GeluForm::kTanh;
  bool has_bias = true;     ///< of matrices and norms; nanoGPT's models may have none
  bool has_conv1d = false;  ///< the file has matrices as [in, out] (models/hf_names.h)
};

/// The shape of a decoder. Field names are those of Hugging Face's config.json.
struct ModelConfig {
  std::string architecture;  ///< a row of models/registry.cpp, e.g. "llama"
  int64_t num_hidden_layers = 0;
  int64_t num_nextn_predict_layers = 0;  ///< MTP modules: in the file, or those a model has loaded
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;
  int64_t head_dim = 0;
  int64_t vocab_size = 0;
  int64_t max_position_embeddings = 0;
  double rope_theta = 10000.0;
  RopeScaling rope_scaling;
  double rms_norm_eps = 1e-5;  ///< GPT-2: LayerNorm's
  bool tie_word_embeddings = false;
  bool has_qkv_bias = false;  ///< Qwen2
  bool has_qk_norm = false;   ///< Qwen3: RMSNorm of each head of queries and keys
  kernels::RopeStyle rope_style = kernels::RopeStyle::kInterleaved;
  MlaConfig mla;
  MoeConfig moe;
  Gpt2Config gpt2;
  Fp8Blocks fp8_blocks;  ///< of weights in FP8

  /// The KV cache's pages as layer 0 sees them, still without memory. MTP modules' layers are the
  /// last ones.
  kernels::KvPages kv_pages(DType kv_dtype) const {
    const int64_t num_layers = num_hidden_layers + num_nextn_predict_layers;
    if (mla.kv_lora_rank > 0 && mla.caches_latents) {
      return {nullptr,    kv_dtype,         1,   mla.kv_lora_rank + mla.qk_rope_head_dim,
              num_layers, mla.kv_lora_rank, true};
    }
    return {nullptr, kv_dtype, num_key_value_heads, head_dim, num_layers, mla.v_head_dim};
  }
  /// Bytes that a token takes in the KV cache.
  int64_t kv_token_bytes(DType kv_dtype) const {
    return kv_pages(kv_dtype).page_bytes() / kernels::kPageTokens;
  }
};

/// What a forward under a tape does not keep for backward, which computes it again: gradients have
/// the same bits, for less memory and more time.
enum class Recompute {
  kNothing,
  /// Inputs of matrices that cost little: norms, SwiGLU, GELU; MLA's up-projections with their
  /// attention (DeepSeek-V3, 3.2.3).
  kActivations,
  kBlocks,  ///< all within a block, of which only the input is kept
};

/// The tokens of one forward: rows of one or more sequences. With a tape it must stay where it is
/// until backward.
struct ForwardBatch {
  std::vector<int32_t> tokens;      ///< [n]
  std::vector<int32_t> positions;   ///< [n] of each token in its sequence
  std::vector<int32_t> logit_rows;  ///< rows whose logits are wanted; empty: all
  KvView kv;                        ///< cache and segments; none in training
  int64_t seq_len = 0;              ///< without a cache: rows of each sequence, n / seq_len of them
  std::vector<int32_t> lengths;     ///< or, where given, of each: sequences of different lengths
  double mtp_weight = 0.0;          ///< in loss(): of what MTP modules predict
};

/// A decoder with its weights: one forward for training and serving.
class Model {
 public:
  virtual ~Model() = default;
  /// logits [logit rows, vocab_size] in f32. With a tape, records for the gradients of the
  /// trainable parameters (no cache, all rows).
  Tensor forward(const Context& context, const ForwardBatch& batch) const {
    return forward(context, batch, nullptr);
  }
  /// The same; where `hidden` is given it gets the states of all rows after the final norm [n,
  /// hidden_size].
  virtual Tensor forward(const Context& context, const ForwardBatch& batch,
                         Tensor* hidden) const = 0;
  /// Multi-token prediction by module `depth` - 1 (DeepSeek-V3, eq. 21-23), depth from 1 to
  /// config().num_nextn_predict_layers. A row that is row i of forward() has here the token i +
  /// depth of its sequence, and its logits are those of the token i + depth + 1. `hidden` [n,
  /// hidden_size] are the states that forward(), or depth - 1, gave these rows; it gets this
  /// depth's. Positions, cache and tape as in forward(); what the module caches of a row depends on
  /// its state and its token only. As in released checkpoints, and unlike eq. 21, the projection
  /// reads the token's embedding first.
  virtual Tensor forward_mtp(const Context&, const ForwardBatch&, int64_t depth, Tensor&) const {
    MK_CHECK(false, "model: no MTP module {}", depth);
  }

  /// -sum of ln p(targets[i]) over the rows whose target is >= 0, divided by `divisor`: the loss of
  /// a batch (or of a micro-batch, whose divisor counts the tokens of the whole batch), a scalar.
  /// The batch has no cache and wants no logit_rows; targets [n]. With MTP modules and a
  /// batch.mtp_weight lambda it is loss + lambda / D * the sum of the same for each depth 1 .. D,
  /// whose row i predicts targets[i + depth] of its sequence (DeepSeek-V3, eq. 24-25).
  virtual Tensor loss(const Context& context, const ForwardBatch& batch,
                      std::span<const int32_t> targets, double divisor) const;
  /// ln p(targets[i]) of each row [n], 0 where the target is < 0, with gradients under a tape.
  virtual Tensor log_probs(const Context& context, const ForwardBatch& batch,
                           std::span<const int32_t> targets) const;

  void set_recompute(Recompute recompute) { recompute_ = recompute; }

  const ModelConfig& config() const { return config_; }
  ParameterStore& parameters() { return store_; }
  const ParameterStore& parameters() const { return store_; }

 protected:
  explicit Model(ModelConfig config) : config_(std::move(config)) {}
  /// block(context) of one of the model's blocks, kept for backward as set_recompute() says.
  Tensor kept(const Context& context, const RecomputedFn& block) const;

  ModelConfig config_;
  ParameterStore store_;
  Recompute recompute_ = Recompute::kNothing;
};

/// How a model is loaded.
struct LoadOptions {
  Precision precision = Precision::kInt8;
  int64_t context_tokens = 0;  ///< positions to prepare; 0: all that the model was made for
  /// MLA: whether the KV cache has latents. Default: unless the precision is f32, whose generated
  /// rows are to have the bits of a prompt's.
  std::optional<bool> caches_latents = {};
  int64_t mtp_modules = 0;       ///< most of them to load, if the file has any
  PanelStore* panels = nullptr;  ///< where matrices go; without it to memory of their own
  /// What is added to the matrices: fit_adapters() of this file and config. Read while loading.
  const LoraDeltas* adapters = nullptr;
  /// Matrices of every format are decoded to f32: full weights are to be trained. With kF32 only.
  bool trains_weights = false;
};

/// Reads the shape of a GGUF model: kUsage for an architecture that minke does not have (named,
/// with the list of those it has), kCorrupt for missing or impossible values.
Result<ModelConfig> config_from_gguf(const GgufFile& file);
/// The same of the text of Hugging Face's config.json.
Result<ModelConfig> config_from_hf(std::string_view config_json);

/// Makes the model of `config` with weights from `file`, under GGUF's names (HfFolder). The weights
/// are packed into memory of their own, or as options.panels says; the file's pages are dropped as
/// that happens. The device must outlive the model.
Result<std::unique_ptr<Model>> load_model(const Device& device, const WeightFile& file,
                                          const ModelConfig& config, const LoadOptions& options);

}  // namespace minke
