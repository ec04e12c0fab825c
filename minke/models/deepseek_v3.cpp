// DeepSeek-V3 and R1: a sigmoid gate, chosen with a bias that balances the load without a loss.
#include "minke/models/deepseek_decoder.h"
#include "minke/models/registry.h"

namespace minke {

Result<ModelConfig> deepseek_v3_config(const ModelSettings& settings) {
  MK_ASSIGN(ModelConfig config, deepseek_config(settings, "deepseek_v3"));
  MK_TRY(expect_text(settings, "scoring_func", "sigmoid"));
  MK_TRY(expect_text(settings, "topk_method", "noaux_tc"));
  config.moe.routing.sigmoid = true;
  config.moe.routing.two_best_of_group = true;
  config.moe.has_bias = true;
  MK_ASSIGN(config.moe.routing.normalizes, settings.flag("norm_topk_prob", true));
  MK_ASSIGN(const bool interleaved, settings.flag("rope_interleave", true));
  if (!interleaved) config.rope_style = kernels::RopeStyle::kHalf;
  return config;
}

}  // namespace minke
