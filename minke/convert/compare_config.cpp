#include "minke/convert/compare_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace minke {
namespace {

// GGUF's name of an architecture that has several.
std::string_view family(std::string_view architecture) {
  if (architecture.starts_with("deepseek")) return "deepseek2";
  return architecture == "qwen3_moe" ? "qwen3moe" : architecture;
}

bool same_number(double a, double b) {
  constexpr double kRounding = 1e-6;  // f32 has 24 bits
  return a == b || std::abs(a - b) <= kRounding * std::max(std::abs(a), std::abs(b));
}

class Differences {
 public:
  template <class T>
  void add(std::string_view name, const T& a, const T& b) {
    if constexpr (std::is_same_v<T, double>) {
      if (same_number(a, b)) return;
    } else {
      if (a == b) return;
    }
    out_.push_back(fmt::format("{}: {} and {}", name, a, b));
  }
  std::vector<std::string> take() { return std::move(out_); }

 private:
  std::vector<std::string> out_;
};

void add_rope(const ModelConfig& a, const ModelConfig& b, bool same_container, Differences& out) {
  out.add("rope_theta", a.rope_theta, b.rope_theta);
  const RopeScaling& x = a.rope_scaling;
  const RopeScaling& y = b.rope_scaling;
  const auto type = [&](const RopeScaling& scaling) {
    const bool as_tensor = !same_container && scaling.type == RopeScaling::Type::kLlama3;
    return static_cast<int>(as_tensor ? RopeScaling::Type::kDefault : scaling.type);
  };
  out.add("rope_scaling type", type(x), type(y));
  if (type(x) == 0 || type(x) != type(y)) return;
  out.add("rope_scaling factor", x.factor, y.factor);
  out.add("rope_scaling original_max_position_embeddings", x.original_max_position_embeddings,
          y.original_max_position_embeddings);
  out.add("rope_scaling low_freq_factor", x.low_freq_factor, y.low_freq_factor);
  out.add("rope_scaling high_freq_factor", x.high_freq_factor, y.high_freq_factor);
  out.add("rope_scaling beta_fast", x.beta_fast, y.beta_fast);
  out.add("rope_scaling beta_slow", x.beta_slow, y.beta_slow);
  out.add("rope_scaling attention_factor", x.attention_factor, y.attention_factor);
}

void add_moe(const ModelConfig& a, const ModelConfig& b, Differences& out) {
  const MoeConfig& x = a.moe;
  const MoeConfig& y = b.moe;
  out.add("n_routed_experts", x.n_routed_experts, y.n_routed_experts);
  if (x.n_routed_experts == 0 || y.n_routed_experts == 0) return;
  out.add("n_shared_experts", x.n_shared_experts, y.n_shared_experts);
  out.add("moe_intermediate_size", x.moe_intermediate_size, y.moe_intermediate_size);
  for (int64_t i = 0; i < std::min(a.num_hidden_layers, b.num_hidden_layers); ++i) {
    out.add(fmt::format("layer {} has experts", i), x.has_experts(i), y.has_experts(i));
  }
  out.add("num_experts_per_tok", x.routing.top_k, y.routing.top_k);
  // Where all groups are kept it does not matter how many there are.
  const auto groups = [](const kernels::RouteArgs& routing) {
    return routing.groups_kept == routing.num_groups ? 1 : routing.num_groups;
  };
  out.add("n_group", groups(x.routing), groups(y.routing));
  out.add("routed_scaling_factor", x.routing.scale, y.routing.scale);
  out.add("sigmoid gate", x.routing.sigmoid, y.routing.sigmoid);
  if (groups(x.routing) > 1) {
    out.add("topk_group", x.routing.groups_kept, y.routing.groups_kept);
    out.add("groups by their two best", x.routing.two_best_of_group, y.routing.two_best_of_group);
  }
  out.add("norm_topk_prob", x.routing.normalizes, y.routing.normalizes);
  out.add("bias of the gate", x.has_bias, y.has_bias);
}

}  // namespace

std::vector<std::string> config_differences(const ModelConfig& a, const ModelConfig& b,
                                            bool same_container) {
  Differences out;
  out.add("architecture",
          same_container ? std::string_view(a.architecture) : family(a.architecture),
          same_container ? std::string_view(b.architecture) : family(b.architecture));
  out.add("num_hidden_layers", a.num_hidden_layers, b.num_hidden_layers);
  out.add("hidden_size", a.hidden_size, b.hidden_size);
  out.add("intermediate_size", a.intermediate_size, b.intermediate_size);
  out.add("num_attention_heads", a.num_attention_heads, b.num_attention_heads);
  out.add("num_key_value_heads", a.num_key_value_heads, b.num_key_value_heads);
  out.add("head_dim", a.head_dim, b.head_dim);
  out.add("vocab_size", a.vocab_size, b.vocab_size);
  out.add("max_position_embeddings", a.max_position_embeddings, b.max_position_embeddings);
  out.add("rms_norm_eps", a.rms_norm_eps, b.rms_norm_eps);
  out.add("tie_word_embeddings", a.tie_word_embeddings, b.tie_word_embeddings);
  out.add("q_lora_rank", a.mla.q_lora_rank, b.mla.q_lora_rank);
  out.add("kv_lora_rank", a.mla.kv_lora_rank, b.mla.kv_lora_rank);
  out.add("qk_nope_head_dim", a.mla.qk_nope_head_dim, b.mla.qk_nope_head_dim);
  out.add("qk_rope_head_dim", a.mla.qk_rope_head_dim, b.mla.qk_rope_head_dim);
  out.add("v_head_dim", a.mla.v_head_dim, b.mla.v_head_dim);
  out.add("scale of scores", a.mla.score_scale, b.mla.score_scale);
  add_rope(a, b, same_container, out);
  add_moe(a, b, out);
  out.add("GELU by tanh", a.gpt2.gelu == kernels::GeluForm::kTanh,
          b.gpt2.gelu == kernels::GeluForm::kTanh);
  out.add("biases", a.gpt2.has_bias, b.gpt2.has_bias);
  if (same_container) {
    out.add("num_nextn_predict_layers", a.num_nextn_predict_layers, b.num_nextn_predict_layers);
  }
  return out.take();
}

}  // namespace minke
