#pragma once
#include <memory>
#include <string_view>

#include "minke/models/model.h"

namespace minke {

/// An architecture: how its shape is read and how it is made. Adding one is a file in this folder
/// and a row in registry.cpp.
struct Architecture {
  std::string_view name;  ///< general.architecture in GGUF
  Result<ModelConfig> (*read_config)(const GgufFile& file);
  Result<std::unique_ptr<Model>> (*load)(const Device& device, const WeightFile& file,
                                         const ModelConfig& config, const LoadOptions& options);
};

/// The row of that name, or nullptr.
const Architecture* find_architecture(std::string_view name);

/// Llama (llama.cpp), SmolLM2 included.
Result<ModelConfig> llama_config(const GgufFile& file);
Result<std::unique_ptr<Model>> load_llama(const Device& device, const WeightFile& file,
                                          const ModelConfig& config, const LoadOptions& options);

}  // namespace minke
