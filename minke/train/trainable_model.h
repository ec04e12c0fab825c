#pragma once
#include <filesystem>
#include <memory>

#include "minke/models/model_file.h"

namespace minke {

/// A model in f32, so that its weights can be trained, and the file that it came from.
struct TrainableModel {
  ModelFile file;
  std::unique_ptr<Model> model;
};

/// Loads a GGUF file or a Hugging Face folder of any format for sequences of at most
/// `context_tokens`, its MTP modules included. `decodes`: also quantised and half-precision
/// matrices become f32, to be trained; else they stay frozen as they are (LoRA).
///
/// Errors: those of reading a model; kWillNotFit for more tokens than it was made for; kCorrupt for
/// weights that are no finite numbers, naming the tensor.
Result<TrainableModel> load_for_training(const Device& device, const std::filesystem::path& path,
                                         int64_t context_tokens, bool decodes = true);

/// Whether all numbers of f32 parameters are finite; kCorrupt names the first tensor where not.
Result<void> check_finite(const Device& device, const ParameterStore& store);

}  // namespace minke
