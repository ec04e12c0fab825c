#pragma once
#include <string>
#include <vector>

#include "minke/models/model.h"

namespace minke {

/// What two configurations say differently, "NAME: VALUE and VALUE" each. Numbers may differ by
/// what rounding to f32 does. `same_container`: both are GGUF, or neither; else what the two forms
/// name or keep differently by convention does not count: the architecture's variants, the order of
/// rotated elements, llama3's scaling (a tensor in GGUF), FP8's blocks and MTP modules.
std::vector<std::string> config_differences(const ModelConfig& a, const ModelConfig& b,
                                            bool same_container);

}  // namespace minke
