// How models say what their rotary embedding is.
#include <cmath>

#include "minke/models/model_settings.h"

namespace minke {
namespace {

constexpr int64_t kContextMax = int64_t{1} << 24;

using Rope = ModelSettings::Rope;
using Type = RopeScaling::Type;

Result<Type> scaling_type(const std::string& name) {
  if (name == "default" || name == "none" || name.empty()) return Type::kDefault;
  if (name == "linear") return Type::kLinear;
  if (name == "llama3") return Type::kLlama3;
  if (name == "yarn") return Type::kYarn;
  return fail(ErrorCode::kUsage,
              "this model scales its rope by '{}'; minke has default, linear, llama3 and yarn",
              name);
}

Result<void> check(const RopeScaling& scaling) {
  const bool needs_original = scaling.type == Type::kLlama3 || scaling.type == Type::kYarn;
  if (!(scaling.factor > 0.0) || (needs_original && scaling.original_max_position_embeddings < 1) ||
      (scaling.type == Type::kLlama3 && !(scaling.high_freq_factor > scaling.low_freq_factor)) ||
      (scaling.type == Type::kYarn && !(scaling.beta_fast > 0.0 && scaling.beta_slow > 0.0)) ||
      !std::isfinite(scaling.attention_factor)) {
    return fail(ErrorCode::kCorrupt,
                "rope scaling by {} from {} positions (low {}, high {}, beta {} and {}) cannot be: "
                "expected positive factors, low below high, and the positions it was trained on",
                scaling.factor, scaling.original_max_position_embeddings, scaling.low_freq_factor,
                scaling.high_freq_factor, scaling.beta_fast, scaling.beta_slow);
  }
  return {};
}

// What rope_parameters or rope_scaling hold besides theta.
Result<void> read_parameters(const ModelSettings& given, int64_t max_position_embeddings,
                             Rope& rope) {
  RopeScaling& scaling = rope.scaling;
  // Older files say "type".
  MK_ASSIGN(const std::string old_name, given.text("type", "default"));
  MK_ASSIGN(const std::string name, given.text("rope_type", old_name));
  MK_ASSIGN(scaling.type, scaling_type(name));
  if (scaling.type == Type::kDefault) return {};
  MK_ASSIGN(scaling.factor, given.number("factor"));
  MK_ASSIGN(
      scaling.original_max_position_embeddings,
      given.size("original_max_position_embeddings", 1, kContextMax, max_position_embeddings));
  MK_ASSIGN(scaling.low_freq_factor, given.number("low_freq_factor", 1.0));
  MK_ASSIGN(scaling.high_freq_factor, given.number("high_freq_factor", 4.0));
  MK_ASSIGN(scaling.beta_fast, given.number("beta_fast", 32.0));
  MK_ASSIGN(scaling.beta_slow, given.number("beta_slow", 1.0));
  if (scaling.type != Type::kYarn) return check(scaling);
  MK_ASSIGN(const double mscale, given.number("mscale", 0.0));
  MK_ASSIGN(rope.mscale_all_dim, given.number("mscale_all_dim", 0.0));
  const double factor = scaling.factor;
  const bool has_both = mscale != 0.0 && rope.mscale_all_dim != 0.0;
  const double usual = has_both
                           ? yarn_mscale(factor, mscale) / yarn_mscale(factor, rope.mscale_all_dim)
                           : yarn_mscale(factor, 1.0);
  MK_ASSIGN(scaling.attention_factor, given.number("attention_factor", usual));
  return check(scaling);
}

}  // namespace

Result<Rope> ModelSettings::rope(int64_t max_position_embeddings) const {
  Rope rope;
  MK_ASSIGN(rope.theta, number("rope_theta", 10000.0));
  if (is_gguf_) {
    MK_ASSIGN(const std::string type, text("rope_scaling_type", "none"));
    MK_ASSIGN(rope.scaling.type, scaling_type(type));
    MK_ASSIGN(rope.scaling.factor, number("rope_factor", 1.0));
    MK_ASSIGN(rope.scaling.original_max_position_embeddings,
              size("rope_original_context", 1, kContextMax, max_position_embeddings));
    MK_ASSIGN(rope.scaling.beta_fast, number("rope_beta_fast", 32.0));
    MK_ASSIGN(rope.scaling.beta_slow, number("rope_beta_slow", 1.0));
    MK_ASSIGN(const double log_multiplier, number("rope_log_multiplier", 0.0));
    rope.mscale_all_dim = 10.0 * log_multiplier;
    if (rope.scaling.type == Type::kYarn && log_multiplier == 0.0) {
      const double usual = yarn_mscale(rope.scaling.factor, 1.0);
      MK_ASSIGN(const double times, number("rope_attention_factor", 1.0));
      rope.scaling.attention_factor = usual * times;
    }
    MK_TRY(check(rope.scaling));
  }
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    const Json* value = find(field);
    if (is_gguf_ || value == nullptr) continue;
    if (!value->is_object()) return wrong(field, "an object");
    MK_ASSIGN(const ModelSettings given, from_json(*value));
    MK_ASSIGN(rope.theta, given.number("rope_theta", rope.theta));
    MK_TRY(read_parameters(given, max_position_embeddings, rope));
    break;
  }
  if (!(rope.theta > 1.0)) return wrong("rope_theta", "a number above 1");
  return rope;
}

}  // namespace minke
