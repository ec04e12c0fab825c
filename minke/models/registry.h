#pragma once
#include <memory>
#include <string_view>

#include "minke/models/model.h"
#include "minke/models/model_settings.h"

namespace minke {

/// An architecture: how its shape is read and how it is made. Adding one is a file in this folder
/// and a row in registry.cpp.
struct Architecture {
  std::string_view name;  ///< general.architecture in GGUF, model_type in config.json
  Result<ModelConfig> (*read_config)(const ModelSettings& settings);
  Result<std::unique_ptr<Model>> (*load)(const Device& device, const WeightFile& file,
                                         const ModelConfig& config, const LoadOptions& options);
};

/// The row of that name, or nullptr.
const Architecture* find_architecture(std::string_view name);

/// config_from_hf() of the document, which should be an object.
Result<ModelConfig> config_from_hf_json(Json config);

/// Llama's shape, SmolLM2 included.
Result<ModelConfig> llama_config(const ModelSettings& settings);
/// Qwen2's and Qwen2.5's.
Result<ModelConfig> qwen2_config(const ModelSettings& settings);
/// Those of DeepSeek's models in GGUF.
Result<ModelConfig> deepseek2_config(const ModelSettings& settings);
/// DeepSeek-V2's and V2-Lite's.
Result<ModelConfig> deepseek_v2_config(const ModelSettings& settings);
/// DeepSeek-V3's and R1's.
Result<ModelConfig> deepseek_v3_config(const ModelSettings& settings);
/// Qwen3's, without experts.
Result<ModelConfig> qwen3_config(const ModelSettings& settings);
/// Qwen3's with experts, which GGUF calls qwen3moe.
Result<ModelConfig> qwen3_moe_config(const ModelSettings& settings);
/// GPT-2's, and nanoGPT's ("bias": false for those without).
Result<ModelConfig> gpt2_config(const ModelSettings& settings);

}  // namespace minke
