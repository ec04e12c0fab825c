#pragma once
#include <filesystem>

#include "minke/base/result.h"

namespace minke {

/// Copies what else lies in a model's folder: all files but config.json, weights of any format and
/// what is hidden; the tokenizer's only if that is wanted.
Result<void> copy_other_files(const std::filesystem::path& from, const std::filesystem::path& to,
                              bool with_tokenizer);

}  // namespace minke
