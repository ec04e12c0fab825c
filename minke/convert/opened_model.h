#pragma once
#include <filesystem>
#include <optional>
#include <vector>

#include "minke/convert/planned_tensor.h"
#include "minke/format/gguf.h"
#include "minke/models/hf_folder.h"
#include "minke/models/model.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// A model as it lies on disk, with the names that its own files use: what a check or a comparison
/// reads. FP8 matrices have their scales.
struct OpenedModel {
  std::filesystem::path path;
  std::optional<GgufFile> gguf;    ///< or
  std::optional<HfFolder> folder;  ///< one of the two
  ModelConfig config;

  /// A .gguf file (of a split model any part), a Hugging Face folder, or a file in one. Errors are
  /// those of reading files, configuration and scales.
  static Result<OpenedModel> open(const std::filesystem::path& path);

  const WeightFile& file() const {
    return gguf ? static_cast<const WeightFile&>(*gguf) : folder->weights;
  }
  /// Its tokenizer; nothing where it has none.
  Result<std::optional<Tokenizer>> tokenizer() const;
  /// Its tensors decoded to f32; those that are no floats as they are. `as_gguf`: of a folder,
  /// those of plan_gguf(). The model must outlive them. kUsage or kCorrupt as plan_gguf().
  Result<std::vector<PlannedTensor>> decoded_tensors(bool as_gguf) const;
};

}  // namespace minke
