#pragma once
#include <filesystem>
#include <string>

#include "minke/base/result.h"
#include "minke/hub/model_store.h"
#include "minke/text/tokenizer_file.h"

namespace minke {

/// The tokenizer of a name from the store, a .gguf file, a tokenizer.json or a folder.
inline Result<Tokenizer> find_tokenizer(const std::string& name_or_path) {
  std::filesystem::path path = name_or_path;
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    MK_ASSIGN(path, ModelStore::open_default().resolve(name_or_path));
  }
  return open_tokenizer(path);
}

}  // namespace minke
