#pragma once
#include <filesystem>

#include "minke/base/json.h"
#include "minke/format/safetensors.h"

namespace minke {

/// A folder as Hugging Face's: config.json and the weights under their own names.
struct HfFolder {
  std::filesystem::path folder;
  Json config;  ///< an object
  SafetensorsFile weights;

  /// The folder, or a file in it. kNotFound when it has no model.
  static Result<HfFolder> open(const std::filesystem::path& path);
  /// Gives FP8 matrices their scales, and takes what says that they are FP8 from the config: as
  /// what is to be written in another format. Does nothing where there are none.
  Result<void> take_fp8_scales();
};

}  // namespace minke
