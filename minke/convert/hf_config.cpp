#include "minke/convert/hf_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "minke/models/model_settings.h"

namespace minke {
namespace {

constexpr double kRelativeErrorMax = 1e-5;

// The frequencies that the file's rope_freqs.weight divides; empty where there is none.
Result<std::vector<float>> read_divisors(const GgufFile& file, int64_t rope_dim) {
  const WeightInfo* info = file.find("rope_freqs.weight");
  if (info == nullptr) return std::vector<float>();
  if (info->dtype != DType::kF32 || !(info->shape == Shape{rope_dim / 2})) {
    return fail(ErrorCode::kCorrupt, "rope_freqs.weight is {} {} when it should be f32 [{}]",
                dtype_info(info->dtype).name, info->shape.text(), rope_dim / 2);
  }
  std::vector<float> divisors(static_cast<size_t>(rope_dim / 2));
  dtype_info(DType::kF32).decode(info->bytes.data(), rope_dim / 2, divisors.data());
  return divisors;
}

// f32's shortest text, so that 1e-5 is not written as 9.999999747378752e-06.
double shortest(double value) { return std::stod(fmt::format("{}", static_cast<float>(value))); }

Json rope_scaling_json(const RopeScaling& scaling, double mscale_all_dim) {
  const int64_t original = scaling.original_max_position_embeddings;
  const double factor = shortest(scaling.factor);
  switch (scaling.type) {
    case RopeScaling::Type::kDefault:
      return Json();
    case RopeScaling::Type::kLinear:
      return Json::object({{"rope_type", "linear"}, {"factor", factor}});
    case RopeScaling::Type::kLlama3:
      return Json::object({{"rope_type", "llama3"},
                           {"factor", factor},
                           {"low_freq_factor", scaling.low_freq_factor},
                           {"high_freq_factor", scaling.high_freq_factor},
                           {"original_max_position_embeddings", original}});
    case RopeScaling::Type::kYarn:
      break;
  }
  Json yarn = Json::object({{"rope_type", "yarn"},
                            {"factor", factor},
                            {"original_max_position_embeddings", original},
                            {"beta_fast", shortest(scaling.beta_fast)},
                            {"beta_slow", shortest(scaling.beta_slow)}});
  if (mscale_all_dim != 0.0) {
    yarn.set("mscale", shortest(mscale_all_dim));
    yarn.set("mscale_all_dim", shortest(mscale_all_dim));
  } else {
    yarn.set("attention_factor", scaling.attention_factor);
  }
  return yarn;
}

Result<void> add_rope(const GgufFile& file, const ModelConfig& config, int64_t rope_dim,
                      Json& out) {
  MK_ASSIGN(const auto architecture, file.get_string("general.architecture"));
  MK_ASSIGN(const ModelSettings settings, ModelSettings::from_gguf(file, architecture));
  MK_ASSIGN(auto rope, settings.rope(config.max_position_embeddings));
  MK_ASSIGN(const std::vector<float> divisors, read_divisors(file, rope_dim));
  if (!divisors.empty()) {
    MK_ASSIGN(rope.scaling, llama3_of_divisors(divisors, rope.theta));
  }
  out.set("rope_theta", shortest(rope.theta));
  out.set("rope_scaling", rope_scaling_json(rope.scaling, rope.mscale_all_dim));
  return {};
}

void add_dense(const ModelConfig& config, Json& out) {
  out.set("num_key_value_heads", config.num_key_value_heads);
  out.set("head_dim", config.head_dim);
  if (config.architecture == "llama") out.set("mlp_bias", false);
  if (!config.has_qkv_bias) out.set("attention_bias", false);  // Qwen2's are not a setting
  if (config.architecture != "llama") out.set("use_sliding_window", false);
}

Result<void> add_deepseek(const ModelConfig& config, Json& out) {
  const MlaConfig& mla = config.mla;
  const MoeConfig& moe = config.moe;
  const kernels::RouteArgs& routing = moe.routing;
  if (!routing.sigmoid && routing.normalizes) {
    return fail(ErrorCode::kUsage,
                "a softmax gate with normalised weights is no DeepSeek-V2 of transformers'");
  }
  out.set("num_key_value_heads", config.num_attention_heads);
  out.set("attention_bias", false);
  out.set("q_lora_rank", mla.q_lora_rank > 0 ? Json(mla.q_lora_rank) : Json());
  out.set("kv_lora_rank", mla.kv_lora_rank);
  out.set("qk_nope_head_dim", mla.qk_nope_head_dim);
  out.set("qk_rope_head_dim", mla.qk_rope_head_dim);
  out.set("v_head_dim", mla.v_head_dim);
  out.set("first_k_dense_replace", moe.first_k_dense_replace);
  out.set("moe_layer_freq", 1);
  out.set("n_routed_experts", moe.n_routed_experts);
  out.set("n_shared_experts", moe.n_shared_experts);
  out.set("num_experts_per_tok", routing.top_k);
  out.set("moe_intermediate_size", moe.moe_intermediate_size);
  out.set("n_group", routing.num_groups);
  out.set("topk_group", routing.groups_kept);
  out.set("routed_scaling_factor", shortest(routing.scale));
  out.set("norm_topk_prob", routing.normalizes);
  const bool masks = routing.groups_kept < routing.num_groups;
  out.set("scoring_func", routing.sigmoid ? "sigmoid" : "softmax");
  out.set("topk_method", routing.sigmoid ? "noaux_tc" : masks ? "group_limited_greedy" : "greedy");
  if (routing.sigmoid) {
    out.set("rope_interleave", true);
  }
  out.set("num_nextn_predict_layers", config.num_nextn_predict_layers);
  return {};
}

bool divides_so(std::span<const float> divisors, std::span<const float> plain,
                std::span<const float> scaled) {
  for (size_t i = 0; i < divisors.size(); ++i) {
    const double expected = plain[i] / divisors[i];
    if (!(divisors[i] >= 1.0f) || !std::isfinite(divisors[i]) ||
        !(std::abs(scaled[i] - expected) <= kRelativeErrorMax * expected)) {
      return false;
    }
  }
  return true;
}

// What llama3's settings may have been. Between the ends, 1/divisor blends 1/factor and 1 with the
// weight (original f / 2 pi - low) / (high - low). Only ratios of the three count, so low is 1; two
// blended frequencies give the rest, one the original length for a high such as 4, and none
// leaves a range of lengths, of which a power of two was meant.
std::vector<RopeScaling> llama3_candidates(std::span<const float> divisors,
                                           std::span<const float> plain) {
  const double factor = *std::max_element(divisors.begin(), divisors.end());
  std::vector<RopeScaling> out;
  const auto add = [&](double original, double high) {
    if (!(original >= 1.0 && original < 1e9 && high > 1.0 && high < 1e9)) return;
    RopeScaling scaling;
    scaling.type = RopeScaling::Type::kLlama3;
    scaling.factor = factor;
    scaling.original_max_position_embeddings = std::llround(original);
    scaling.high_freq_factor = high;
    out.push_back(scaling);
  };
  std::vector<std::pair<double, double>> blended;  // frequency / 2 pi, weight
  for (size_t i = 0; i < divisors.size(); ++i) {
    if (!(divisors[i] > 1.001f) || !(divisors[i] < 0.999 * factor)) continue;
    const double weight = (1.0 / divisors[i] - 1.0 / factor) / (1.0 - 1.0 / factor);
    blended.emplace_back(plain[i] / (2.0 * std::numbers::pi), weight);
  }
  if (blended.size() >= 2) {
    const auto& [x0, w0] = blended.front();
    const auto& [x1, w1] = blended.back();
    const double slope = (w0 - w1) / (x0 - x1);
    const double high = std::round(1e3 * (1.0 + 1.0 / (slope * x0 - w0))) / 1e3;
    add(slope * (high - 1.0), high);
  }
  if (!blended.empty()) {
    const auto& [x, weight] = blended.front();
    for (const double high : {4.0, 2.0, 3.0, 8.0}) add(((high - 1.0) * weight + 1.0) / x, high);
  }
  for (double original = 8192.0; original >= 1.0; original /= 2.0) add(original, 4.0);
  for (double original = 16384.0; original < 1e9; original *= 2.0) add(original, 4.0);
  return out;
}

void add_qwen3_moe(const ModelConfig& config, Json& out) {
  const MoeConfig& moe = config.moe;
  out.set("num_experts", moe.n_routed_experts);
  out.set("num_experts_per_tok", moe.routing.top_k);
  out.set("moe_intermediate_size", moe.moe_intermediate_size);
  out.set("norm_topk_prob", moe.routing.normalizes);
  out.set("decoder_sparse_step", 1);
  out.set("mlp_only_layers", Json(Json::Array()));
}

// GPT-2's config.json has names of its own.
Json gpt2_config_json(const ModelConfig& config, DType dtype) {
  return Json::object({{"architectures", Json::array({"GPT2LMHeadModel"})},
                       {"model_type", "gpt2"},
                       {"dtype", hf_dtype_name(dtype)},
                       {"vocab_size", config.vocab_size},
                       {"n_embd", config.hidden_size},
                       {"n_inner", config.intermediate_size},
                       {"n_layer", config.num_hidden_layers},
                       {"n_head", config.num_attention_heads},
                       {"n_positions", config.max_position_embeddings},
                       {"layer_norm_epsilon", shortest(config.rms_norm_eps)},
                       {"activation_function", "gelu_new"},
                       {"attn_pdrop", 0.0},
                       {"embd_pdrop", 0.0},
                       {"resid_pdrop", 0.0},
                       {"tie_word_embeddings", config.tie_word_embeddings},
                       {"use_cache", true}});
}

struct Names {
  std::string model_type;
  std::string model_class;
};

Names names_of(const ModelConfig& config) {
  if (config.mla.kv_lora_rank > 0) {
    return config.moe.routing.sigmoid ? Names{"deepseek_v3", "DeepseekV3ForCausalLM"}
                                      : Names{"deepseek_v2", "DeepseekV2ForCausalLM"};
  }
  if (config.architecture == "qwen2") return {"qwen2", "Qwen2ForCausalLM"};
  if (config.architecture == "qwen3_moe") return {"qwen3_moe", "Qwen3MoeForCausalLM"};
  if (config.architecture == "qwen3") return {"qwen3", "Qwen3ForCausalLM"};
  return {"llama", "LlamaForCausalLM"};
}

}  // namespace

std::string_view hf_dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return "float16";
    case DType::kBf16:
      return "bfloat16";
    case DType::kF64:
      return "float64";
    default:
      return "float32";
  }
}

Result<RopeScaling> llama3_of_divisors(std::span<const float> divisors, double theta) {
  const auto rope_dim = static_cast<int64_t>(divisors.size()) * 2;
  const std::vector<float> plain = rope_frequencies(rope_dim, theta);
  for (const RopeScaling& scaling : llama3_candidates(divisors, plain)) {
    if (divides_so(divisors, plain, rope_frequencies(rope_dim, theta, scaling))) return scaling;
  }
  return fail(ErrorCode::kUsage,
              "rope_freqs.weight is no scaling that config.json has a name for (its largest "
              "divisor is {})",
              *std::max_element(divisors.begin(), divisors.end()));
}

Result<Json> hf_config(const GgufFile& file, const ModelConfig& config, DType dtype) {
  if (config.architecture == "gpt2") return gpt2_config_json(config, dtype);
  const bool is_mla = config.mla.kv_lora_rank > 0;
  const Names names = names_of(config);
  Json out = Json::object({{"architectures", Json::array({names.model_class})},
                           {"model_type", names.model_type},
                           {"dtype", hf_dtype_name(dtype)},
                           {"vocab_size", config.vocab_size},
                           {"hidden_size", config.hidden_size},
                           {"intermediate_size", config.intermediate_size},
                           {"num_hidden_layers", config.num_hidden_layers},
                           {"num_attention_heads", config.num_attention_heads},
                           {"max_position_embeddings", config.max_position_embeddings},
                           {"rms_norm_eps", shortest(config.rms_norm_eps)},
                           {"hidden_act", "silu"},
                           {"attention_dropout", 0.0},
                           {"tie_word_embeddings", config.tie_word_embeddings},
                           {"use_cache", true}});
  if (is_mla) {
    MK_TRY(add_deepseek(config, out));
  } else {
    add_dense(config, out);
    if (config.moe.n_routed_experts > 0) add_qwen3_moe(config, out);
  }
  MK_TRY(add_rope(file, config, is_mla ? config.mla.qk_rope_head_dim : config.head_dim, out));
  return out;
}

}  // namespace minke
