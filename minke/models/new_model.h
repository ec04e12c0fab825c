#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "minke/models/model.h"

namespace minke {

/// How a model is made from nothing.
struct NewModelOptions {
  uint64_t seed = 0;
  int64_t context_tokens = 0;  ///< positions to prepare; 0: all that the config has
  int64_t mtp_modules = 1000;  ///< most of them to make, if the config has any
};

/// The model of a config.json with weights drawn at random, all f32, to be trained. As the released
/// code of each architecture begins:
///
///   matrices   normal, of deviation `initializer_range` of the config; without it 0.02, and
///              0.006 for DeepSeek-V3 (arXiv 2412.19437, 4.2)
///   GPT-2's    matrices that write to the residual stream: the same / sqrt(2 layers), for their
///              sum not to grow with the depth (GPT-2's report, 2.3)
///   norms      1, and their biases and all others 0
///
/// A number is a function of the seed, the tensor's name in GGUF and its place only, not of threads
/// or of the other tensors. Errors: those of config_from_hf(); kWillNotFit where the weights alone
/// take more memory than there is.
Result<std::unique_ptr<Model>> new_model(const Device& device, std::string_view config_json,
                                         const NewModelOptions& options);

/// The number of parameters that new_model() would make, without making them.
Result<int64_t> count_parameters(std::string_view config_json, const NewModelOptions& options = {});

}  // namespace minke
