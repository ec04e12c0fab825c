#include "minke/models/model_settings.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "minke/base/utf8.h"

namespace minke {
namespace {

constexpr size_t kListMax = 1024;

// Hugging Face's names and what GGUF calls them after "ARCHITECTURE.".
constexpr std::pair<std::string_view, std::string_view> kGgufKeys[] = {
    {"num_hidden_layers", "block_count"},
    {"hidden_size", "embedding_length"},
    {"intermediate_size", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"head_dim", "attention.key_length"},
    {"v_head_dim", "attention.value_length"},
    {"max_position_embeddings", "context_length"},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon"},
    {"layer_norm_epsilon", "attention.layer_norm_epsilon"},
    {"rope_theta", "rope.freq_base"},
    {"rope_dim", "rope.dimension_count"},
    {"rope_scaling_type", "rope.scaling.type"},
    {"rope_factor", "rope.scaling.factor"},
    {"rope_original_context", "rope.scaling.original_context_length"},
    {"rope_attention_factor", "rope.scaling.attn_factor"},
    {"rope_log_multiplier", "rope.scaling.yarn_log_multiplier"},
    {"rope_beta_fast", "rope.scaling.yarn_beta_fast"},
    {"rope_beta_slow", "rope.scaling.yarn_beta_slow"},
    {"q_lora_rank", "attention.q_lora_rank"},
    {"kv_lora_rank", "attention.kv_lora_rank"},
    {"mla_key_dim", "attention.key_length_mla"},
    {"mla_value_dim", "attention.value_length_mla"},
    {"n_routed_experts", "expert_count"},
    {"num_experts_per_tok", "expert_used_count"},
    {"n_shared_experts", "expert_shared_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"first_k_dense_replace", "leading_dense_block_count"},
    {"routed_scaling_factor", "expert_weights_scale"},
    {"norm_topk_prob", "expert_weights_norm"},
    {"gating_function", "expert_gating_func"},
    {"n_group", "expert_group_count"},
    {"topk_group", "expert_group_used_count"},
    {"num_nextn_predict_layers", "nextn_predict_layers"},
};

std::string_view gguf_key(std::string_view field) {
  for (const auto& [name, key] : kGgufKeys) {
    if (name == field) return key;
  }
  return field;
}

// A scalar of GGUF's metadata as JSON; null for arrays.
Json scalar_of(const GgufFile& file, const GgufEntry& entry) {
  if (entry.value.is_string()) return Json(entry.value.as_string());
  if (entry.value.type == GgufType::kBool) return Json(*file.get_bool(entry.key));
  const bool is_float = entry.value.type == GgufType::kF32 || entry.value.type == GgufType::kF64;
  if (!is_float) {
    if (const auto whole = file.get_uint(entry.key)) return Json(*whole);
  }
  const auto number = file.get_float(entry.key);
  return number ? Json(*number) : Json();
}

}  // namespace

Result<ModelSettings> ModelSettings::from_json(Json config) {
  if (!config.is_object()) {
    return fail(ErrorCode::kCorrupt, "config.json is {}, expected an object", config.kind());
  }
  return ModelSettings(std::move(config));
}

Result<ModelSettings> ModelSettings::from_gguf(const GgufFile& file, std::string_view name) {
  const std::string prefix = std::string(name) + ".";
  Json config = Json::object();
  for (const GgufEntry& entry : file.metadata()) {
    if (!entry.key.starts_with(prefix)) continue;
    const std::string_view key = entry.key.substr(prefix.size());
    std::string_view field = key;
    for (const auto& [hf, gguf] : kGgufKeys) {
      if (gguf == key) field = hf;
    }
    config.set(field, scalar_of(file, entry));
  }
  const WeightInfo* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.num_dims() != 2) {
    return fail(ErrorCode::kCorrupt, "gguf: no matrix 'token_embd.weight'");
  }
  config.set("vocab_size", embedding->shape[0]);
  config.set("tie_word_embeddings", file.find("output.weight") == nullptr);
  ModelSettings settings(std::move(config));
  settings.architecture_ = name;
  settings.is_gguf_ = true;
  return settings;
}

const Json* ModelSettings::find(std::string_view field) const {
  const Json* value = config_.find(field);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::string ModelSettings::shown(std::string_view field) const {
  if (is_gguf_) return fmt::format("gguf: {}.{}", architecture_, gguf_key(field));
  return fmt::format("config.json: {}", field);
}

tl::unexpected<Error> ModelSettings::wrong(std::string_view field,
                                           std::string_view expected) const {
  const Json* value = find(field);
  if (value == nullptr) {
    return fail(ErrorCode::kCorrupt, "{} is missing, expected {}", shown(field), expected);
  }
  return fail(ErrorCode::kCorrupt, "{} is {} when it should be {}", shown(field),
              printable_name(value->dump()), expected);
}

Result<int64_t> ModelSettings::size(std::string_view field, int64_t low, int64_t high,
                                    std::optional<int64_t> missing) const {
  const Json* value = find(field);
  if (value == nullptr && missing) return *missing;
  if (value == nullptr || !value->is_int() || value->as_int() < low || value->as_int() > high) {
    return wrong(field, fmt::format("a whole number from {} to {}", low, high));
  }
  return value->as_int();
}

Result<double> ModelSettings::number(std::string_view field, std::optional<double> missing) const {
  const Json* value = find(field);
  if (value == nullptr && missing) return *missing;
  if (value == nullptr || !value->is_number() || !std::isfinite(value->as_double())) {
    return wrong(field, "a number");
  }
  return value->as_double();
}

Result<bool> ModelSettings::flag(std::string_view field, std::optional<bool> missing) const {
  const Json* value = find(field);
  if (value == nullptr && missing) return *missing;
  if (value == nullptr || !value->is_bool()) return wrong(field, "true or false");
  return value->as_bool();
}

Result<std::string> ModelSettings::text(std::string_view field,
                                        std::optional<std::string> missing) const {
  const Json* value = find(field);
  if (value == nullptr && missing) return *missing;
  if (value == nullptr || !value->is_string()) return wrong(field, "text");
  return value->as_string();
}

Result<std::vector<int64_t>> ModelSettings::sizes(std::string_view field, int64_t low,
                                                  int64_t high) const {
  const Json* value = find(field);
  if (value == nullptr) return std::vector<int64_t>();
  std::vector<int64_t> out;
  const bool is_list = value->is_array() && value->as_array().size() <= kListMax;
  for (const Json& item : is_list ? value->as_array() : Json::Array()) {
    if (item.is_int() && item.as_int() >= low && item.as_int() <= high) {
      out.push_back(item.as_int());
    }
  }
  if (is_list && out.size() == value->as_array().size()) return out;
  return wrong(
      field, fmt::format("a list of at most {} whole numbers from {} to {}", kListMax, low, high));
}

Result<void> refuse_settings(const ModelSettings& settings,
                             std::span<const std::string_view> flags) {
  for (const std::string_view field : flags) {
    MK_ASSIGN(const bool set, settings.flag(field, false));
    if (set) {
      return fail(ErrorCode::kUsage, "this model has {}, which minke cannot run", field);
    }
  }
  return {};
}

Result<void> expect_text(const ModelSettings& settings, std::string_view field,
                         const std::string& expected) {
  MK_ASSIGN(const std::string found, settings.text(field, expected));
  if (found == expected) return {};
  return fail(ErrorCode::kUsage, "{} is '{}', and minke has {} only", field, printable_name(found),
              expected);
}

}  // namespace minke
