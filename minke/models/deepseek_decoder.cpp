// Pre-norm blocks of multi-head latent attention and DeepSeekMoE: DeepSeek-V2 (arXiv 2405.04434)
// and -V3 (arXiv 2412.19437).
#include "minke/models/deepseek_decoder.h"

#include <algorithm>
#include <cmath>

#include "minke/models/decoder.h"
#include "minke/models/moe_loader.h"

namespace minke {
namespace {

// DeepSeek's code leaves the norms of both latents at their default, whatever rms_norm_eps is.
constexpr double kLatentEps = 1e-6;

struct Layer {
  Linear q;     // of normed inputs, or of the normed latent q_a
  Linear q_a;   // of normed inputs; unused without q_lora_rank
  Linear kv_a;  // of normed inputs; rows: latent, the rope part of all keys
  const Parameter* kv_a_norm = nullptr;
  Linear kv_b;  // rows: of each head the rest of its keys, then its values
  Linear output;
  const Parameter* ffn_norm = nullptr;
  Linear gate_up;  // of a dense layer or the shared experts, of normed inputs
  Linear down;
  Moe moe;  // without experts in a dense layer
};

class DeepSeekDecoder final : public Decoder {
 public:
  explicit DeepSeekDecoder(ModelConfig config) : Decoder(std::move(config)) {}

 private:
  Result<void> load_block(ParameterLoader& loader, const std::string& prefix,
                          Precision precision) override;
  Tensor block(const Context& context, const Tensor& x, const ForwardBatch& batch,
               int64_t index) const override;
  Result<void> load_attention(ParameterLoader& loader, const std::string& prefix, Layer& layer);
  Result<std::vector<const Parameter*>> load_kv_b(ParameterLoader& loader,
                                                  const std::string& prefix) const;
  Result<void> load_ffn(ParameterLoader& loader, const std::string& prefix, int64_t width,
                        const char* suffix, Layer& layer);
  Tensor attend(const Context& context, const Tensor& x, const ForwardBatch& batch,
                int64_t index) const;
  Tensor feed_forward(const Context& context, const Tensor& x, const Layer& layer) const;

  Precision precision_ = Precision::kF32;
  std::vector<Layer> layers_;
};

Result<void> DeepSeekDecoder::load_attention(ParameterLoader& loader, const std::string& prefix,
                                             Layer& layer) {
  const MlaConfig& mla = config_.mla;
  const int64_t hidden = config_.hidden_size, heads = config_.num_attention_heads;
  const int64_t q_rows = heads * (mla.qk_nope_head_dim + mla.qk_rope_head_dim);
  const double eps = config_.rms_norm_eps;
  MK_ASSIGN(auto* norm, loader.vector(prefix + "attn_norm.weight", hidden));
  if (mla.q_lora_rank > 0) {
    MK_ASSIGN(auto q_a, loader.matrices({{prefix + "attn_q_a.weight", mla.q_lora_rank}}, hidden));
    MK_ASSIGN(auto* q_a_norm, loader.vector(prefix + "attn_q_a_norm.weight", mla.q_lora_rank));
    MK_ASSIGN(auto q_b, loader.matrices({{prefix + "attn_q_b.weight", q_rows}}, mla.q_lora_rank));
    layer.q_a = Linear(std::move(q_a), precision_, {norm, eps});
    layer.q = Linear(std::move(q_b), precision_, {q_a_norm, kLatentEps});
  } else {
    MK_ASSIGN(auto q, loader.matrices({{prefix + "attn_q.weight", q_rows}}, hidden));
    layer.q = Linear(std::move(q), precision_, {norm, eps});
  }
  MK_ASSIGN(
      auto kv_a,
      loader.matrices({{prefix + "attn_kv_a_mqa.weight", mla.kv_lora_rank + mla.qk_rope_head_dim}},
                      hidden));
  MK_ASSIGN(layer.kv_a_norm, loader.vector(prefix + "attn_kv_a_norm.weight", mla.kv_lora_rank));
  MK_ASSIGN(auto kv_b, load_kv_b(loader, prefix));
  MK_ASSIGN(auto output,
            loader.matrices({{prefix + "attn_output.weight", hidden}}, heads * mla.v_head_dim));
  layer.kv_a = Linear(std::move(kv_a), precision_, {norm, eps});
  layer.kv_b = Linear(std::move(kv_b), precision_);
  layer.output = Linear(std::move(output), precision_);
  return {};
}

// The expansion of the latent. llama.cpp's converter writes it in two parts, as the absorbed form
// reads them: k_b [heads, rank, nope], transposed, and v_b [heads, v, rank].
Result<std::vector<const Parameter*>> DeepSeekDecoder::load_kv_b(ParameterLoader& loader,
                                                                 const std::string& prefix) const {
  const MlaConfig& mla = config_.mla;
  const int64_t heads = config_.num_attention_heads, rank = mla.kv_lora_rank;
  const int64_t nope = mla.qk_nope_head_dim, rows = nope + mla.v_head_dim;
  const std::string name = prefix + "attn_kv_b.weight";
  if (!loader.has(prefix + "attn_k_b.weight")) return loader.matrices({{name, heads * rows}}, rank);
  MK_ASSIGN(const auto k_b, loader.decoded(prefix + "attn_k_b.weight", {heads, rank, nope}));
  MK_ASSIGN(const auto v_b,
            loader.decoded(prefix + "attn_v_b.weight", {heads, mla.v_head_dim, rank}));
  std::vector<float> joined(static_cast<size_t>(heads * rows * rank));
  for (int64_t head = 0; head < heads; ++head) {
    float* keys = joined.data() + head * rows * rank;
    for (int64_t r = 0; r < rank; ++r) {
      for (int64_t d = 0; d < nope; ++d) {
        keys[d * rank + r] = k_b[static_cast<size_t>((head * rank + r) * nope + d)];
      }
    }
    std::copy_n(v_b.data() + head * mla.v_head_dim * rank, mla.v_head_dim * rank,
                keys + nope * rank);
  }
  return std::vector<const Parameter*>{loader.made(name, heads * rows, rank, joined)};
}

// The feed-forward of a dense layer (suffix "") or of the shared experts ("_shexp").
Result<void> DeepSeekDecoder::load_ffn(ParameterLoader& loader, const std::string& prefix,
                                       int64_t width, const char* suffix, Layer& layer) {
  const auto name = [&](const char* part) {
    return fmt::format("{}ffn_{}{}.weight", prefix, part, suffix);
  };
  MK_ASSIGN(auto gate_up,
            loader.matrices({{name("gate"), width}, {name("up"), width}}, config_.hidden_size));
  MK_ASSIGN(auto down, loader.matrices({{name("down"), config_.hidden_size}}, width));
  layer.gate_up = Linear(std::move(gate_up), precision_);
  layer.down = Linear(std::move(down), precision_);
  return {};
}

Result<void> DeepSeekDecoder::load_block(ParameterLoader& loader, const std::string& prefix,
                                         Precision precision) {
  precision_ = precision;
  const bool dense = static_cast<int64_t>(layers_.size()) < config_.moe.first_k_dense_replace;
  Layer& layer = layers_.emplace_back();
  MK_TRY(load_attention(loader, prefix, layer));
  MK_ASSIGN(layer.ffn_norm, loader.vector(prefix + "ffn_norm.weight", config_.hidden_size));
  if (dense) return load_ffn(loader, prefix, config_.intermediate_size, "", layer);
  MK_ASSIGN(layer.moe, load_moe(loader, prefix, config_, precision));
  const int64_t shared = config_.moe.n_shared_experts * config_.moe.moe_intermediate_size;
  if (shared == 0) return {};
  return load_ffn(loader, prefix, shared, "_shexp", layer);
}

// x + the attention of a block, keys and values expanded from the latent: [n, hidden] -> [n,
// hidden]. x may be overwritten.
Tensor DeepSeekDecoder::attend(const Context& context, const Tensor& x, const ForwardBatch& batch,
                               int64_t index) const {
  const Layer& layer = layers_[index];
  const MlaConfig& mla = config_.mla;
  const kernels::MlaShape shape{config_.num_attention_heads, mla.qk_nope_head_dim,
                                mla.qk_rope_head_dim, mla.v_head_dim};
  kernels::RopeArgs rope = rope_args(batch);
  const Tensor kv_a = layer.kv_a.forward(context, x);  // [n, kv_lora_rank + qk_rope_head_dim]
  const int64_t rank = mla.kv_lora_rank;
  const Tensor latent = ops::rms_norm(context, ops::columns(context, kv_a, 0, rank),
                                      layer.kv_a_norm->tensor(context), kLatentEps);
  const Tensor k_rope =
      ops::rope(context, ops::columns(context, kv_a, rank, rank + mla.qk_rope_head_dim), rope);
  rope.head_size = shape.key_dim();
  const Tensor q_input = mla.q_lora_rank > 0 ? layer.q_a.forward(context, x) : x;
  const Tensor q = ops::rope(context, layer.q.forward(context, q_input), rope);
  const Tensor kv = layer.kv_b.forward(context, latent);  // [n, heads * (nope + v)]
  const Tensor k = ops::mla_keys(context, kv, k_rope, shape);
  const Tensor v = ops::mla_values(context, kv, shape);
  const ops::AttentionShape attention_shape{shape.num_heads, shape.num_heads, shape.key_dim(),
                                            batch.seq_len,   shape.value_dim, mla.score_scale};
  const Tensor mixed = attention(context, q, k, v, attention_shape, batch.kv, index);
  return layer.output.forward_add(context, mixed, x);
}

// x + the feed-forward of a block.
Tensor DeepSeekDecoder::feed_forward(const Context& context, const Tensor& x,
                                     const Layer& layer) const {
  const Tensor normed =
      ops::rms_norm(context, x, layer.ffn_norm->tensor(context), config_.rms_norm_eps);
  Tensor y = x;
  if (!layer.moe.experts.empty()) {
    y = ops::add(context, y, layer.moe.forward(context, normed));
  }
  if (layer.gate_up.rows() == 0) return y;
  return layer.down.forward_add(context, layer.gate_up.forward_swiglu(context, normed), y);
}

Tensor DeepSeekDecoder::block(const Context& context, const Tensor& x, const ForwardBatch& batch,
                              int64_t index) const {
  return feed_forward(context, attend(context, x, batch, index), layers_[index]);
}

Result<MlaConfig> mla_config(const ModelSettings& settings, const ModelSettings::Rope& rope) {
  MlaConfig mla;
  MK_ASSIGN(mla.q_lora_rank, settings.size("q_lora_rank", 0, 1 << 20, 0));
  MK_ASSIGN(mla.kv_lora_rank, settings.size("kv_lora_rank", 1, 1 << 20));
  if (settings.is_gguf()) {
    // Newer files have the latent's sizes as key_length and value_length.
    const bool latent = settings.has("mla_key_dim");
    MK_ASSIGN(mla.qk_rope_head_dim, settings.size("rope_dim", 2, 1 << 12));
    MK_ASSIGN(const int64_t key_dim, settings.size(latent ? "mla_key_dim" : "head_dim",
                                                   mla.qk_rope_head_dim + 1, 1 << 13));
    mla.qk_nope_head_dim = key_dim - mla.qk_rope_head_dim;
    MK_ASSIGN(mla.v_head_dim, settings.size(latent ? "mla_value_dim" : "v_head_dim", 1, 1 << 12));
  } else {
    MK_ASSIGN(mla.qk_nope_head_dim, settings.size("qk_nope_head_dim", 1, 1 << 12));
    MK_ASSIGN(mla.qk_rope_head_dim, settings.size("qk_rope_head_dim", 2, 1 << 12));
    MK_ASSIGN(mla.v_head_dim, settings.size("v_head_dim", 1, 1 << 12));
  }
  if (mla.qk_rope_head_dim % 2 != 0) {
    return fail(ErrorCode::kCorrupt, "qk_rope_head_dim is {} when it should be even",
                mla.qk_rope_head_dim);
  }
  const auto key_dim = static_cast<double>(mla.qk_nope_head_dim + mla.qk_rope_head_dim);
  const bool scaled = rope.scaling.type != RopeScaling::Type::kDefault && rope.mscale_all_dim != 0;
  const double mscale = scaled ? yarn_mscale(rope.scaling.factor, rope.mscale_all_dim) : 1.0;
  mla.score_scale = mscale * mscale / std::sqrt(key_dim);
  return mla;
}

Result<MoeConfig> moe_config(const ModelSettings& settings, int64_t num_layers) {
  MoeConfig moe;
  MK_ASSIGN(moe.first_k_dense_replace, settings.size("first_k_dense_replace", 0, 1000, 0));
  MK_ASSIGN(moe.n_routed_experts, settings.size("n_routed_experts", 0, 1 << 16, 0));
  if (moe.n_routed_experts == 0) moe.first_k_dense_replace = num_layers;
  if (moe.first_k_dense_replace >= num_layers) return moe;
  MK_ASSIGN(moe.n_shared_experts, settings.size("n_shared_experts", 0, 1 << 10, 0));
  MK_ASSIGN(moe.moe_intermediate_size, settings.size("moe_intermediate_size", 1, 1 << 22));
  MK_ASSIGN(moe.routing.top_k, settings.size("num_experts_per_tok", 1, moe.n_routed_experts));
  MK_ASSIGN(const int64_t frequency, settings.size("moe_layer_freq", 1, 1 << 10, 1));
  if (frequency != 1) {
    return fail(ErrorCode::kUsage, "moe_layer_freq is {}, and minke has 1 only", frequency);
  }
  MK_ASSIGN(moe.routing.num_groups, settings.size("n_group", 1, moe.n_routed_experts, 1));
  MK_ASSIGN(moe.routing.groups_kept,
            settings.size("topk_group", 1, moe.routing.num_groups, moe.routing.num_groups));
  MK_ASSIGN(moe.routing.scale, settings.number("routed_scaling_factor", 1.0));
  const int64_t group_size = moe.n_routed_experts / moe.routing.num_groups;
  if (moe.n_routed_experts % moe.routing.num_groups != 0 ||
      moe.routing.top_k > group_size * moe.routing.groups_kept) {
    return fail(ErrorCode::kCorrupt,
                "{} of {} experts in {} of {} groups cannot be chosen: groups must be of one size, "
                "and those kept have enough experts",
                moe.routing.top_k, moe.n_routed_experts, moe.routing.groups_kept,
                moe.routing.num_groups);
  }
  return moe;
}

}  // namespace

Result<ModelConfig> deepseek_config(const ModelSettings& settings, std::string_view architecture) {
  constexpr double kUsualEps = 1e-6;
  MK_ASSIGN(ModelConfig config, decoder_config(settings, architecture, kUsualEps));
  constexpr std::string_view kRefused[] = {"attention_bias", "mlp_bias"};
  MK_TRY(refuse_settings(settings, kRefused));
  MK_ASSIGN(const auto rope, settings.rope(config.max_position_embeddings));
  MK_ASSIGN(config.mla, mla_config(settings, rope));
  MK_ASSIGN(config.moe, moe_config(settings, config.num_hidden_layers));
  // The cache holds the expanded keys and values of every head.
  config.num_key_value_heads = config.num_attention_heads;
  config.head_dim = config.mla.qk_nope_head_dim + config.mla.qk_rope_head_dim;
  return config;
}

Result<std::unique_ptr<Model>> load_deepseek(const Device& device, const WeightFile& file,
                                             const ModelConfig& config,
                                             const LoadOptions& options) {
  auto model = std::make_unique<DeepSeekDecoder>(config);
  MK_TRY(model->load(device, file, options));
  return model;
}

}  // namespace minke
