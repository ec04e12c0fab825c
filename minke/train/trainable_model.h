#pragma once
#include <filesystem>
#include <memory>

#include "minke/data/dataset.h"
#include "minke/models/model_file.h"

namespace minke {

/// A model in f32, so that its weights can be trained, and the file that it came from.
struct TrainableModel {
  ModelFile file;
  std::unique_ptr<Model> model;
};

/// Makes the model of a file, whatever its format, for sequences of at most `context_tokens`, its
/// MTP modules included. All weights become f32, to be trained; or, where `adapters` is given, they
/// stay frozen as they are and the adapters alone are trained.
///
/// Errors: those of reading a model; kWillNotFit for more tokens than it was made for; kCorrupt for
/// weights that are no finite numbers, naming the tensor.
Result<TrainableModel> load_for_training(const Device& device, ModelFile file,
                                         int64_t context_tokens,
                                         const LoraDeltas* adapters = nullptr);
/// The same of a GGUF file or a Hugging Face folder, to train its weights.
Result<TrainableModel> load_for_training(const Device& device, const std::filesystem::path& path,
                                         int64_t context_tokens);

/// Whether all numbers of f32 parameters are finite; kCorrupt names the first tensor where not.
Result<void> check_finite(const Device& device, const ParameterStore& store);

/// kUsage for data whose token ids the model does not have: made with another tokenizer.
Result<void> check_vocabulary(const TokenDataset& data, const ModelConfig& config);

}  // namespace minke
