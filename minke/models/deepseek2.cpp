// What GGUF calls deepseek2: V2, V2-Lite, V3 and R1.
#include "minke/models/deepseek_decoder.h"
#include "minke/models/registry.h"

namespace minke {

Result<ModelConfig> deepseek2_config(const ModelSettings& settings) {
  MK_ASSIGN(ModelConfig config, deepseek_config(settings, "deepseek2"));
  // 1: softmax, as in V2, whose files may lack the key; 2: sigmoid, with V3's bias and groups.
  MK_ASSIGN(const int64_t function, settings.size("gating_function", 1, 2, 1));
  config.moe.routing.sigmoid = config.moe.routing.two_best_of_group = function == 2;
  config.moe.has_bias = function == 2;
  MK_ASSIGN(config.moe.routing.normalizes, settings.flag("norm_topk_prob", false));
  return config;
}

}  // namespace minke
