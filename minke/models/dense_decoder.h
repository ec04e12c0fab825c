#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "minke/models/model.h"
#include "minke/models/model_settings.h"

namespace minke {

/// The settings that all decoders of this graph have. rope_style is kHalf, biases and norms of
/// heads are off: the architecture's file says otherwise.
Result<ModelConfig> dense_config(const ModelSettings& settings, std::string_view architecture);
/// See load_model().
Result<std::unique_ptr<Model>> load_dense(const Device& device, const WeightFile& file,
                                          const ModelConfig& config, const LoadOptions& options);

}  // namespace minke
