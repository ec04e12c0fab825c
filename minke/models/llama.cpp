// Llama (Touvron et al. 2023), SmolLM2 and DeepSeek's Llama distillates.
#include "minke/models/dense_decoder.h"
#include "minke/models/registry.h"

namespace minke {

Result<ModelConfig> llama_config(const ModelSettings& settings) {
  MK_ASSIGN(ModelConfig config, dense_config(settings, "llama"));
  constexpr std::string_view kRefused[] = {"attention_bias", "mlp_bias"};
  MK_TRY(refuse_settings(settings, kRefused));
  // llama.cpp's converter reorders the rows of queries and keys into neighbouring pairs.
  if (settings.is_gguf()) config.rope_style = kernels::RopeStyle::kInterleaved;
  MK_ASSIGN(const int64_t experts, settings.size("n_routed_experts", 0, 1 << 20, 0));
  if (experts > 0) return fail(ErrorCode::kUsage, "this llama has experts, which minke cannot run");
  return config;
}

}  // namespace minke
