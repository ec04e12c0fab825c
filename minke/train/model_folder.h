#pragma once
#include <filesystem>

#include "minke/train/trainable_model.h"

namespace minke {

/// Puts what makes weights a model's folder into a new folder, so that checkpoints need nothing of
/// where the model came from: config.json, and the tokenizer's and other files as Hugging Face has
/// them, made from the metadata of a GGUF file. Does nothing where the folder is there: it is there
/// whole or not at all. Errors are those of reading, writing and converting.
Result<void> make_model_folder(const ModelFile& source, const std::filesystem::path& folder);

/// The same for a model that was made from a config.json: `tokenizer` is a folder whose tokenizer
/// is put beside it, or empty for none.
Result<void> make_new_model_folder(const Json& config, const std::filesystem::path& tokenizer,
                                   const std::filesystem::path& folder);

/// Copies that folder's files into `to`, which exists, and writes the model's weights beside them:
/// what minke serve and transformers load. kWillNotFit when the disk is full.
Result<void> write_model(const Model& model, int num_threads,
                         const std::filesystem::path& model_folder,
                         const std::filesystem::path& to);

/// Takes the weights of a folder that write_model() filled. kCorrupt when they are of another
/// model.
Result<void> read_weights(const Device& device, const std::filesystem::path& folder, Model& model);

}  // namespace minke
