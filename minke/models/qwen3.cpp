// Qwen3: Llama with RMSNorm of each head of queries and keys.
#include "minke/models/dense_decoder.h"
#include "minke/models/registry.h"

namespace minke {

Result<ModelConfig> qwen3_config(const ModelSettings& settings) {
  MK_ASSIGN(ModelConfig config, dense_config(settings, "qwen3"));
  constexpr std::string_view kRefused[] = {"use_sliding_window", "attention_bias"};
  MK_TRY(refuse_settings(settings, kRefused));
  config.has_qk_norm = true;
  return config;
}

}  // namespace minke
