// Qwen2 and Qwen2.5, and DeepSeek's Qwen distillates: Llama with biases of queries, keys and
// values.
#include "minke/models/dense_decoder.h"
#include "minke/models/registry.h"

namespace minke {

Result<ModelConfig> qwen2_config(const ModelSettings& settings) {
  MK_ASSIGN(ModelConfig config, dense_config(settings, "qwen2"));
  constexpr std::string_view kRefused[] = {"use_sliding_window"};
  MK_TRY(refuse_settings(settings, kRefused));
  config.has_qkv_bias = true;
  return config;
}

}  // namespace minke
