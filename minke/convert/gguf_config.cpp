#include "minke/convert/gguf_config.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <string>

#include "minke/convert/tensor_name.h"
#include "minke/models/model_settings.h"

namespace minke {
namespace {

constexpr uint32_t kQuantizationVersion = 2;  // of ggml's block formats

uint32_t as_u32(int64_t value) { return static_cast<uint32_t>(value); }

// Adds keys below the architecture's name.
class ArchitectureKeys {
 public:
  ArchitectureKeys(GgufMetadata& metadata, std::string_view architecture)
      : metadata_(metadata), architecture_(architecture) {}
  template <class T>
  void add(std::string_view key, T value) {
    metadata_.add(fmt::format("{}.{}", architecture_, key), value);
  }

 private:
  GgufMetadata& metadata_;
  std::string_view architecture_;
};

// llama3's scaling is the tensor rope_freqs.weight.
Result<void> add_rope(const ModelConfig& config, const ModelSettings::Rope& rope,
                      ArchitectureKeys& keys) {
  const RopeScaling& scaling = rope.scaling;
  keys.add("rope.freq_base", static_cast<float>(rope.theta));
  if (scaling.type == RopeScaling::Type::kLinear) {
    keys.add("rope.scaling.type", "linear");
    keys.add("rope.scaling.factor", static_cast<float>(scaling.factor));
  }
  if (scaling.type != RopeScaling::Type::kYarn) return {};
  keys.add("rope.scaling.type", "yarn");
  keys.add("rope.scaling.factor", static_cast<float>(scaling.factor));
  keys.add("rope.scaling.original_context_length",
           as_u32(scaling.original_max_position_embeddings));
  if (scaling.beta_fast != 32.0) {
    keys.add("rope.scaling.yarn_beta_fast", static_cast<float>(scaling.beta_fast));
  }
  if (scaling.beta_slow != 1.0) {
    keys.add("rope.scaling.yarn_beta_slow", static_cast<float>(scaling.beta_slow));
  }
  if (config.mla.kv_lora_rank > 0 && rope.mscale_all_dim != 0.0) {
    if (std::abs(scaling.attention_factor - 1.0) > 1e-6) {
      return fail(ErrorCode::kUsage,
                  "rope scaling with an mscale that is not mscale_all_dim ({}) cannot be written "
                  "to GGUF",
                  rope.mscale_all_dim);
    }
    // llama.cpp's files have a tenth of it.
    keys.add("rope.scaling.yarn_log_multiplier", static_cast<float>(0.1 * rope.mscale_all_dim));
    return {};
  }
  const double times = scaling.attention_factor / yarn_mscale(scaling.factor, 1.0);
  if (std::abs(times - 1.0) > 1e-6) {
    keys.add("rope.scaling.attn_factor", static_cast<float>(times));
  }
  return {};
}

// deepseek2 in its newest form: keys and values of the latent (one head), MLA's own sizes beside.
Result<void> add_deepseek(const ModelConfig& config, ArchitectureKeys& keys) {
  const MlaConfig& mla = config.mla;
  const MoeConfig& moe = config.moe;
  if (config.rope_style != kernels::RopeStyle::kInterleaved) {
    return fail(ErrorCode::kUsage, "rope_interleave false cannot be written to GGUF");
  }
  keys.add("attention.head_count_kv", uint32_t{1});
  keys.add("attention.key_length", as_u32(mla.kv_lora_rank + mla.qk_rope_head_dim));
  keys.add("attention.value_length", as_u32(mla.kv_lora_rank));
  keys.add("attention.key_length_mla", as_u32(mla.qk_nope_head_dim + mla.qk_rope_head_dim));
  keys.add("attention.value_length_mla", as_u32(mla.v_head_dim));
  // Written without a rank, too: llama.cpp asks for it of all models but those of V2-Lite's depth.
  keys.add("attention.q_lora_rank", as_u32(mla.q_lora_rank));
  keys.add("attention.kv_lora_rank", as_u32(mla.kv_lora_rank));
  keys.add("rope.dimension_count", as_u32(mla.qk_rope_head_dim));
  if (config.num_nextn_predict_layers > 0) {
    keys.add("nextn_predict_layers", as_u32(config.num_nextn_predict_layers));
  }
  keys.add("leading_dense_block_count", as_u32(moe.first_k_dense_replace));
  keys.add("expert_count", as_u32(moe.n_routed_experts));
  keys.add("expert_used_count", as_u32(moe.routing.top_k));
  keys.add("expert_shared_count", as_u32(moe.n_shared_experts));
  keys.add(
      "expert_feed_forward_length",
      as_u32(moe.moe_intermediate_size > 0 ? moe.moe_intermediate_size : config.intermediate_size));
  keys.add("expert_weights_scale", static_cast<float>(moe.routing.scale));
  keys.add("expert_weights_norm", moe.routing.normalizes);
  keys.add("expert_gating_func", uint32_t{moe.routing.sigmoid ? 2u : 1u});
  if (moe.routing.groups_kept < moe.routing.num_groups) {
    keys.add("expert_group_count", as_u32(moe.routing.num_groups));
    keys.add("expert_group_used_count", as_u32(moe.routing.groups_kept));
  }
  return {};
}

// Of a dense model's attention, and its experts if it has any.
Result<void> add_dense(const ModelConfig& config, ArchitectureKeys& keys) {
  keys.add("attention.head_count_kv", as_u32(config.num_key_value_heads));
  keys.add("attention.key_length", as_u32(config.head_dim));
  keys.add("attention.value_length", as_u32(config.head_dim));
  keys.add("rope.dimension_count", as_u32(config.head_dim));
  const MoeConfig& moe = config.moe;
  if (moe.n_routed_experts == 0) return {};
  // GGUF has no word for these, and llama.cpp does it one way.
  for (int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    if (moe.has_experts(layer)) continue;
    return fail(ErrorCode::kUsage,
                "layer {} has no experts and others have (decoder_sparse_step, mlp_only_layers), "
                "which cannot be written to GGUF",
                layer);
  }
  if (!moe.routing.normalizes) {
    return fail(ErrorCode::kUsage, "norm_topk_prob false cannot be written to GGUF");
  }
  keys.add("expert_count", as_u32(moe.n_routed_experts));
  keys.add("expert_used_count", as_u32(moe.routing.top_k));
  keys.add("expert_feed_forward_length", as_u32(moe.moe_intermediate_size));
  return {};
}

// gpt2, of which llama.cpp knows biases and the tanh only.
Result<void> add_gpt2(const ModelConfig& config, ArchitectureKeys& keys) {
  if (!config.gpt2.has_bias || config.gpt2.gelu != kernels::GeluForm::kTanh) {
    return fail(ErrorCode::kUsage, "{} cannot be written to GGUF",
                config.gpt2.has_bias ? "activation_function gelu" : "bias false");
  }
  keys.add("attention.layer_norm_epsilon", static_cast<float>(config.rms_norm_eps));
  return {};
}

}  // namespace

std::string gguf_architecture(const ModelConfig& config) {
  if (config.mla.kv_lora_rank > 0) return "deepseek2";
  return config.architecture == "qwen3_moe" ? "qwen3moe" : config.architecture;
}

DType main_dtype(std::span<const PlannedTensor> tensors) {
  std::map<DType, int64_t> elements;
  for (const PlannedTensor& tensor : tensors) {
    elements[tensor.declaration.dtype] += tensor.declaration.shape.num_elements();
  }
  DType most = DType::kF32;
  for (const auto& [dtype, count] : elements) {
    if (count > elements[most]) most = dtype;
  }
  return most;
}

std::optional<uint32_t> gguf_file_type(std::span<const PlannedTensor> tensors) {
  switch (main_dtype(tensors)) {
    case DType::kF32:
      return 0;
    case DType::kF16:
      return 1;
    case DType::kBf16:
      return 32;
    default:
      return std::nullopt;
  }
}

Result<GgufMetadata> gguf_config(const Json& config_json, const ModelConfig& config,
                                 std::string_view model_name) {
  MK_ASSIGN(const ModelSettings settings, ModelSettings::from_json(config_json));
  MK_ASSIGN(const auto rope, settings.rope(config.max_position_embeddings));
  const std::string architecture = gguf_architecture(config);
  GgufMetadata metadata;
  metadata.add("general.architecture", architecture);
  metadata.add("general.type", "model");
  metadata.add("general.name", model_name);
  metadata.add("general.quantization_version", kQuantizationVersion);
  ArchitectureKeys keys(metadata, architecture);
  keys.add("block_count", as_u32(num_blocks(config)));
  keys.add("context_length", as_u32(config.max_position_embeddings));
  keys.add("embedding_length", as_u32(config.hidden_size));
  keys.add("feed_forward_length", as_u32(config.intermediate_size));
  keys.add("attention.head_count", as_u32(config.num_attention_heads));
  keys.add("vocab_size", as_u32(config.vocab_size));
  if (architecture == "gpt2") {
    MK_TRY(add_gpt2(config, keys));
    return metadata;
  }
  keys.add("attention.layer_norm_rms_epsilon", static_cast<float>(config.rms_norm_eps));
  MK_TRY(add_rope(config, rope, keys));
  MK_TRY(config.mla.kv_lora_rank > 0 ? add_deepseek(config, keys) : add_dense(config, keys));
  return metadata;
}

}  // namespace minke
