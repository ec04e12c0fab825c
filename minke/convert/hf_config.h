#pragma once
#include <span>
#include <string>
#include <vector>

#include "minke/base/json.h"
#include "minke/format/gguf.h"
#include "minke/models/model.h"

namespace minke {

/// A number format's name in config.json, "bfloat16"; that of f32 for what has none there.
std::string_view hf_dtype_name(DType dtype);

/// The llama3 scaling (factor, low_freq_factor 1, high_freq_factor, original positions) that
/// divides the frequencies of `theta` by these divisors: GGUF has only those. kUsage when none does
/// to five digits.
Result<RopeScaling> llama3_of_divisors(std::span<const float> divisors, double theta);

/// A GGUF model's config.json, as transformers reads it; `config` is what config_from_gguf() gives,
/// `dtype` what most weights will be. deepseek2 becomes deepseek_v2 or _v3 by its gate. kUsage for
/// what transformers' class of the architecture cannot do.
Result<Json> hf_config(const GgufFile& file, const ModelConfig& config, DType dtype);

}  // namespace minke
