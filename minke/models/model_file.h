#pragma once
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "minke/base/json.h"
#include "minke/models/model.h"

namespace minke {

/// A model as it lies on disk: what it is, and its tensors under GGUF's names, whichever the
/// format.
class ModelFile {
 public:
  /// A .gguf file (of a split model any part); or a folder as Hugging Face's, with config.json and
  /// model.safetensors or model.safetensors.index.json, or a file in it. Errors: those of opening
  /// and of config_from_gguf(); kNotFound for a folder without a model.
  static Result<ModelFile> open(const std::filesystem::path& path);

  /// Whether open() takes `path` for a folder, or a file in one, and not for a GGUF file.
  static bool names_folder(const std::filesystem::path& path);

  const ModelConfig& config() const { return config_; }
  const WeightFile& weights() const { return *weights_; }
  /// Where it is a GGUF file, else nullptr.
  const GgufFile* gguf() const { return gguf_; }
  /// Where it is not: the folder.
  const std::filesystem::path& folder() const { return folder_; }
  /// Its config.json, an object; null where it is a GGUF file.
  const Json& config_json() const { return config_json_; }
  /// Of the files with weights.
  uint64_t file_bytes() const { return file_bytes_; }
  /// The files with weights.
  std::span<const MappedFile> maps() const { return maps_; }

 private:
  static Result<ModelFile> open_folder(const std::filesystem::path& path);

  ModelConfig config_;
  std::unique_ptr<WeightFile> weights_;
  const GgufFile* gguf_ = nullptr;
  std::filesystem::path folder_;
  Json config_json_;
  uint64_t file_bytes_ = 0;
  std::span<const MappedFile> maps_;  // in weights_
};

}  // namespace minke
