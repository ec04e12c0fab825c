#pragma once
#include <filesystem>

#include "minke/base/result.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// The tokenizer of a GGUF file (with tensors or without), of a tokenizer.json, or of a folder that
/// holds one; beside it tokenizer_config.json, special_tokens_map.json, generation_config.json and
/// chat_template.jinja are read where they are. kNotFound, or an error of Tokenizer::from_gguf or
/// from_json.
Result<Tokenizer> open_tokenizer(const std::filesystem::path& path);

/// The texts of a tokenizer.json and of what lies beside it. Errors are those of reading.
Result<TokenizerTexts> read_tokenizer_texts(const std::filesystem::path& tokenizer_json);

}  // namespace minke
