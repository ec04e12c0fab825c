#pragma once
#include <string_view>

#include "minke/base/result.h"
#include "minke/base/thread_pool.h"
#include "minke/engine/request.h"

namespace minke {

/// Sets in `params` what a model's authors recommend in generation_config.json: temperature, top_k,
/// top_p, min_p and repetition_penalty, where the file has them and `is_given` does not claim that
/// the user gave the setting of that name. The other fields, ends of text among them, are not
/// sampling's. An empty text recommends nothing; kCorrupt, naming the field, for what is no number
/// in SamplingParams' limits.
Result<void> apply_generation_config(std::string_view json, SamplingParams& params,
                                     FunctionRef<bool(std::string_view)> is_given);

}  // namespace minke
