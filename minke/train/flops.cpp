#include "minke/train/flops.h"

#include <set>
#include <string_view>

namespace minke {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// The share of tokens that a matrix sees.
double use_of(const Parameter& parameter, const ModelConfig& config) {
  if (parameter.rows == 0 || parameter.names.empty()) return 0;
  const std::string_view name = parameter.names.front();
  if (contains(name, "position_embd")) return 0;
  if (contains(name, "token_embd")) return config.tie_word_embeddings ? 1 : 0;
  if (contains(name, "_exps.") && config.moe.n_routed_experts > 0) {
    return static_cast<double>(config.moe.routing.top_k) /
           static_cast<double>(config.moe.n_routed_experts);
  }
  return 1;
}

}  // namespace

double training_flops_per_token(const Model& model, std::span<const TrainedTensor> trained,
                                int64_t seq) {
  const ModelConfig& config = model.config();
  std::set<const void*> trained_data;
  for (const TrainedTensor& tensor : trained) trained_data.insert(tensor.weight.view().data);
  double flops = 0;
  for (const Parameter& parameter : model.parameters().parameters()) {
    const double passes = trained_data.contains(parameter.value.view().data) ? 6 : 4;
    flops += passes * use_of(parameter, config) * static_cast<double>(parameter.num_elements());
  }
  const bool is_mla = config.mla.kv_lora_rank > 0;
  const int64_t key_dim =
      is_mla ? config.mla.qk_nope_head_dim + config.mla.qk_rope_head_dim : config.head_dim;
  const int64_t value_dim = is_mla ? config.mla.v_head_dim : config.head_dim;
  const int64_t layers = config.num_hidden_layers + config.num_nextn_predict_layers;
  // 2 operations forward and 4 backward for each of seq / 2 keys.
  return flops + 3.0 * static_cast<double>(layers * config.num_attention_heads *
                                           (key_dim + value_dim) * seq);
}

}  // namespace minke
