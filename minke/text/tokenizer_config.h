#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "minke/base/result.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// What the files beside a tokenizer.json say.
struct TokenizerConfig {
  std::string bos_token;  ///< empty when there is none
  std::string eos_token;
  std::optional<bool> add_bos;
  std::string chat_template;
  std::vector<int64_t> eos_ids;  ///< of generation_config.json
};

/// Reads tokenizer_config.json, then special_tokens_map.json for what it lacks, and
/// generation_config.json; chat_template.jinja comes before a template in tokenizer_config.json, of
/// several there the one named "default" counts. kCorrupt, naming the file, when one is malformed.
Result<TokenizerConfig> read_tokenizer_config(const TokenizerTexts& texts);

}  // namespace minke
