#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "minke/base/json.h"
#include "minke/text/pretokenizer.h"

namespace minke {

/// The parts of a byte-level BPE, written in GPT-2's alphabet.
struct ByteBpe {
  Json::Object vocab;        ///< each token's id; special ones included, as they are written
  Json::Array merges;        ///< [left, right]
  Json::Array added_tokens;  ///< of added_token_json()
  const Pretokenizer* pretokenizer = nullptr;
  std::optional<int32_t> bos;  ///< where one is put before each text
  std::string bos_text;
};

/// An entry of added_tokens.
Json added_token_json(std::string_view text, int64_t id, bool special);

/// The content of Hugging Face's tokenizer.json, which Tokenizer::from_json() reads.
Json byte_bpe_json(ByteBpe tokenizer);

/// The content of tokenizer_config.json; an empty text is left out.
Json tokenizer_config_json(std::string_view bos_text, std::string_view eos_text, bool add_bos);

}  // namespace minke
