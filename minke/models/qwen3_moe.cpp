// Qwen3's mixture of experts: its attention, and a softmax over all experts in some layers or all.
#include "minke/models/registry.h"

namespace minke {

Result<ModelConfig> qwen3_moe_config(const ModelSettings& settings) {
  MK_ASSIGN(ModelConfig config, qwen3_config(settings));
  config.architecture = "qwen3_moe";
  MoeConfig& moe = config.moe;
  // transformers 5 writes num_local_experts, older ones num_experts.
  const std::string_view count = settings.is_gguf()                  ? "n_routed_experts"
                                 : settings.has("num_local_experts") ? "num_local_experts"
                                                                     : "num_experts";
  MK_ASSIGN(moe.n_routed_experts, settings.size(count, 1, 1 << 16));
  MK_ASSIGN(moe.routing.top_k, settings.size("num_experts_per_tok", 1, moe.n_routed_experts));
  MK_ASSIGN(moe.moe_intermediate_size, settings.size("moe_intermediate_size", 1, 1 << 22));
  // GGUF does not say: the models that there are in it divide by the sum.
  MK_ASSIGN(moe.routing.normalizes, settings.flag("norm_topk_prob", settings.is_gguf()));
  MK_ASSIGN(moe.decoder_sparse_step, settings.size("decoder_sparse_step", 1, 1000, 1));
  MK_ASSIGN(moe.mlp_only_layers, settings.sizes("mlp_only_layers", 0, 1000));
  return config;
}

}  // namespace minke
