#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "minke/base/json.h"
#include "minke/convert/planned_tensor.h"
#include "minke/format/gguf_metadata.h"
#include "minke/models/model.h"

namespace minke {

/// llama.cpp's number for the format that most weights of a file have (general.file_type); none
/// where it has no number for it.
std::optional<uint32_t> gguf_file_type(std::span<const PlannedTensor> tensors);

/// The format that most elements of the tensors have.
DType main_dtype(std::span<const PlannedTensor> tensors);

/// What GGUF calls the model's architecture: "deepseek2", "qwen3moe", else our own name.
std::string gguf_architecture(const ModelConfig& config);

/// A model's shape as llama.cpp's files have it: general.* and ARCHITECTURE.*, DeepSeek's as
/// deepseek2. `config_json` is Hugging Face's config.json, `config` the same read. kUsage for what
/// GGUF cannot say.
Result<GgufMetadata> gguf_config(const Json& config_json, const ModelConfig& config,
                                 std::string_view model_name);

}  // namespace minke
