#pragma once
#include <memory>

#include "minke/models/model.h"

namespace minke {

/// See load_model().
Result<std::unique_ptr<Model>> load_gpt2(const Device& device, const WeightFile& file,
                                         const ModelConfig& config, const LoadOptions& options);

}  // namespace minke
