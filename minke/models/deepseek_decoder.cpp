// Pre-norm blocks of multi-head latent attention and DeepSeekMoE: DeepSeek-V2 (arXiv 2405.04434)
// and -V3 (arXiv 2412.19437).
#include "minke/models/deepseek_decoder.h"

#include <algorithm>
#include <cmath>

#include "minke/models/decoder.h"
#include "minke/models/moe_loader.h"
#include "minke/nn/mla.h"

namespace minke {
namespace {

struct Layer {
  Mla attention;
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
  const ExpertLoads* loads_of(int64_t index) const override {
    const Moe& moe = layers_[static_cast<size_t>(index)].moe;
    return moe.experts.empty() ? nullptr : &moe.loads;
  }
  Result<void> load_attention(ParameterLoader& loader, const std::string& prefix, Mla& mla);
  Result<void> load_kv_b(ParameterLoader& loader, const std::string& prefix, Mla& mla) const;
  Result<void> load_kv_parts(ParameterLoader& loader, const std::string& prefix, Mla& mla) const;
  Result<void> load_ffn(ParameterLoader& loader, const std::string& prefix, int64_t width,
                        const char* suffix, Layer& layer);
  Tensor feed_forward(const Context& context, const Tensor& x, const Layer& layer) const;

  Precision precision_ = Precision::kF32;
  std::vector<Layer> layers_;
};

Result<void> DeepSeekDecoder::load_attention(ParameterLoader& loader, const std::string& prefix,
                                             Mla& mla) {
  const MlaConfig& config = config_.mla;
  const int64_t hidden = config_.hidden_size, heads = config_.num_attention_heads;
  const int64_t rank = config.kv_lora_rank;
  const double eps = config_.rms_norm_eps;
  mla.shape = {heads, config.qk_nope_head_dim, config.qk_rope_head_dim, config.v_head_dim};
  mla.kv_lora_rank = rank;
  mla.score_scale = config.score_scale;
  const int64_t q_rows = heads * mla.shape.key_dim();
  MK_ASSIGN(auto* norm, loader.vector(prefix + "attn_norm.weight", hidden));
  if (config.q_lora_rank > 0) {
    const int64_t q_rank = config.q_lora_rank;
    MK_ASSIGN(auto q_a, loader.matrices({{prefix + "attn_q_a.weight", q_rank}}, hidden));
    MK_ASSIGN(auto* q_a_norm, loader.vector(prefix + "attn_q_a_norm.weight", q_rank));
    MK_ASSIGN(auto q_b, loader.matrices({{prefix + "attn_q_b.weight", q_rows}}, q_rank));
    mla.q_a = Linear(std::move(q_a), precision_, {norm, eps});
    mla.q = Linear(std::move(q_b), precision_, {q_a_norm, kLatentEps});
  } else {
    MK_ASSIGN(auto q, loader.matrices({{prefix + "attn_q.weight", q_rows}}, hidden));
    mla.q = Linear(std::move(q), precision_, {norm, eps});
  }
  const int64_t kv_rows = rank + config.qk_rope_head_dim;
  MK_ASSIGN(auto kv_a, loader.matrices({{prefix + "attn_kv_a_mqa.weight", kv_rows}}, hidden));
  mla.kv_a = Linear(std::move(kv_a), precision_, {norm, eps});
  MK_ASSIGN(mla.kv_a_norm, loader.vector(prefix + "attn_kv_a_norm.weight", rank));
  const bool in_parts = loader.has(prefix + "attn_k_b.0.weight");
  MK_TRY(in_parts ? load_kv_parts(loader, prefix, mla) : load_kv_b(loader, prefix, mla));
  if (config.caches_latents) {
    for (const LoraDelta& delta : loader.deltas(prefix + "attn_kv_b.weight")) {
      mla.absorb_lora(loader.device(), delta);
    }
  }
  MK_ASSIGN(auto output,
            loader.matrices({{prefix + "attn_output.weight", hidden}}, heads * config.v_head_dim));
  mla.output = Linear(std::move(output), precision_);
  return {};
}

// The format of a matrix made from one of format `dtype`, the inputs being others: the same, or
// bytes where it has blocks, whose own rounding is far below that of `dtype`.
DType format_made_from(DType dtype, int64_t cols, Precision precision) {
  if (!is_block_quantized(dtype)) return dtype;
  const bool fits = precision != Precision::kF32 && kernels::packable(DType::kQ8_0, cols);
  return fits ? DType::kQ8_0 : DType::kF32;
}

// The expansion of the latent in one matrix, as Hugging Face's checkpoints have it.
Result<void> DeepSeekDecoder::load_kv_b(ParameterLoader& loader, const std::string& prefix,
                                        Mla& mla) const {
  const auto& [heads, nope, rope, value] = mla.shape;
  const int64_t rank = mla.kv_lora_rank, rows = nope + value;
  const std::string name = prefix + "attn_kv_b.weight";
  MK_ASSIGN(auto kv_b, loader.matrices({{name, heads * rows}}, rank));
  const DType dtype = kv_b.front()->dtype;
  mla.kv_b = Linear(std::move(kv_b), precision_);
  if (!config_.mla.caches_latents) return {};
  std::vector<float> values;  // of the whole matrix, once
  for (int64_t head = 0; head < heads; ++head) {
    const auto keys = [&]() -> Result<std::vector<float>> {
      if (values.empty()) {
        MK_ASSIGN(values, loader.decoded(name, {heads * rows, rank}));
      }
      return transposed({values.data() + head * rows * rank, static_cast<size_t>(nope * rank)},
                        nope, rank);
    };
    MK_ASSIGN(Parameter k_part,
              loader.made_part({fmt::format("{}[{}]^T", name, head),
                                format_made_from(dtype, nope, precision_), rank, nope},
                               keys));
    MK_ASSIGN(Parameter v_part,
              loader.matrix_rows(name, heads * rows, rank, head * rows + nope, value));
    mla.add_head(precision_, std::move(k_part), std::move(v_part));
  }
  return {};
}

// The same as llama.cpp's converter writes it, in the parts that the absorbed form reads: of each
// head W_UK^T [rank, nope] and W_UV [value, rank].
Result<void> DeepSeekDecoder::load_kv_parts(ParameterLoader& loader, const std::string& prefix,
                                            Mla& mla) const {
  const auto& [heads, nope, rope, value] = mla.shape;
  const int64_t rank = mla.kv_lora_rank, rows = nope + value;
  const auto k_name = [&](int64_t head) {
    return fmt::format("{}attn_k_b.{}.weight", prefix, head);
  };
  const auto v_name = [&](int64_t head) {
    return fmt::format("{}attn_v_b.{}.weight", prefix, head);
  };
  DType dtype = DType::kF32;
  for (int64_t head = 0; head < heads && config_.mla.caches_latents; ++head) {
    MK_ASSIGN(Parameter k_part, loader.matrix(k_name(head), rank, nope));
    MK_ASSIGN(Parameter v_part, loader.matrix(v_name(head), value, rank));
    dtype = k_part.dtype;
    mla.add_head(precision_, std::move(k_part), std::move(v_part));
  }
  const auto joined = [&]() -> Result<std::vector<float>> {
    std::vector<float> all;
    for (int64_t head = 0; head < heads; ++head) {
      MK_ASSIGN(const auto k_b, loader.decoded(k_name(head), {rank, nope}));
      MK_ASSIGN(const auto v_b, loader.decoded(v_name(head), {value, rank}));
      const std::vector<float> keys = transposed(k_b, rank, nope);
      all.insert(all.end(), keys.begin(), keys.end());
      all.insert(all.end(), v_b.begin(), v_b.end());
    }
    return all;
  };
  MK_ASSIGN(const Parameter* kv_b,
            loader.made({prefix + "attn_kv_b.weight", format_made_from(dtype, rank, precision_),
                         heads * rows, rank},
                        joined));
  mla.kv_b = Linear({kv_b}, precision_);
  return {};
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
  const bool dense = !config_.moe.has_experts(static_cast<int64_t>(layers_.size()));
  Layer& layer = layers_.emplace_back();
  MK_TRY(load_attention(loader, prefix, layer.attention));
  MK_ASSIGN(layer.ffn_norm, loader.vector(prefix + "ffn_norm.weight", config_.hidden_size));
  if (dense) return load_ffn(loader, prefix, config_.intermediate_size, "", layer);
  MK_ASSIGN(layer.moe, load_moe(loader, prefix, config_, precision));
  const int64_t shared = config_.moe.n_shared_experts * config_.moe.moe_intermediate_size;
  if (shared == 0) return {};
  return load_ffn(loader, prefix, shared, "_shexp", layer);
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
  return swiglu_feed_forward(context, normed, layer.gate_up, layer.down, y);
}

Tensor DeepSeekDecoder::block(const Context& context, const Tensor& x, const ForwardBatch& batch,
                              int64_t index) const {
  const Layer& layer = layers_[index];
  const Tensor attended = layer.attention.forward(context, x, rope_args(batch), batch.kv,
                                                  batch.seq_len, batch.lengths, index);
  return feed_forward(context, attended, layer);
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

Result<MoeConfig> moe_config(const ModelSettings& settings, const ModelConfig& config) {
  MoeConfig moe;
  const int64_t num_layers = config.num_hidden_layers + config.num_nextn_predict_layers;
  MK_ASSIGN(moe.first_k_dense_replace, settings.size("first_k_dense_replace", 0, 1000, 0));
  MK_ASSIGN(moe.n_routed_experts, settings.size("n_routed_experts", 0, 1 << 16, 0));
  moe.first_k_dense_replace = std::min(moe.first_k_dense_replace, config.num_hidden_layers);
  if (moe.n_routed_experts == 0 || moe.first_k_dense_replace >= num_layers) return moe;
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
  MK_ASSIGN(config.num_nextn_predict_layers, settings.size("num_nextn_predict_layers", 0, 1000, 0));
  if (settings.is_gguf()) {  // which counts the blocks of MTP modules among all
    config.num_hidden_layers -= config.num_nextn_predict_layers;
    if (config.num_hidden_layers < 1) {
      return fail(ErrorCode::kCorrupt, "gguf: {} of {} blocks are for MTP",
                  config.num_nextn_predict_layers,
                  config.num_hidden_layers + config.num_nextn_predict_layers);
    }
  }
  MK_ASSIGN(config.moe, moe_config(settings, config));
  // Of a cache of expanded keys and values.
  config.num_key_value_heads = config.num_attention_heads;
  config.head_dim = config.mla.qk_nope_head_dim + config.mla.qk_rope_head_dim;
  return config;
}

Result<std::unique_ptr<Model>> load_deepseek(const Device& device, const WeightFile& file,
                                             const ModelConfig& config,
                                             const LoadOptions& options) {
  ModelConfig loaded = config;
  loaded.mla.caches_latents = options.caches_latents.value_or(options.precision != Precision::kF32);
  auto model = std::make_unique<DeepSeekDecoder>(std::move(loaded));
  MK_TRY(model->load(device, file, options));
  return model;
}

}  // namespace minke
