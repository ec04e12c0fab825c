#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minke/convert/planned_tensor.h"
#include "minke/format/gguf_metadata.h"
#include "minke/models/hf_folder.h"
#include "minke/models/model.h"

namespace minke {

/// What a Hugging Face folder's GGUF file has.
struct FolderAsGguf {
  ModelConfig config;                  ///< with the MTP modules that are there
  std::vector<PlannedTensor> tensors;  ///< made from the folder, which must outlive them
  GgufMetadata metadata;               ///< without general.file_type
  std::vector<std::string> notes;      ///< what the user should know, a sentence each
};

/// Plans that file, under the name `model_name`; `type` is plan_gguf()'s. FP8 matrices should have
/// their scales. Errors: those of config_from_hf_json(), plan_gguf(), gguf_config() and
/// add_gguf_tokenizer().
Result<FolderAsGguf> folder_as_gguf(const HfFolder& folder, std::string_view model_name,
                                    std::optional<DType> type, bool with_tokenizer);

}  // namespace minke
