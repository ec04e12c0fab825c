#pragma once
#include <memory>

#include "minke/models/model.h"
#include "minke/models/model_settings.h"

namespace minke {

/// The settings that DeepSeek-V2 and -V3 have in common; the gate's are V2's.
Result<ModelConfig> deepseek_config(const ModelSettings& settings, std::string_view architecture);
/// See load_model().
Result<std::unique_ptr<Model>> load_deepseek(const Device& device, const WeightFile& file,
                                             const ModelConfig& config, const LoadOptions& options);

}  // namespace minke
