#pragma once
#include <array>
#include <string>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/text/pretokenizer.h"
#include "minke/text/tokenizer_data.h"

namespace minke {

/// What the normalizer, pre_tokenizer, post_processor and decoder of a tokenizer.json ask for.
struct JsonPipeline {
  std::array<SplitStep, Pretokenizer::kStepsMax> steps = {};
  bool byte_level = false;      ///< GPT-2's alphabet of bytes
  bool escapes_spaces = false;  ///< as U+2581
  bool nfc = false;
  SpacePrefix prefix = SpacePrefix::kNone;
  bool prefix_unless_space = false;
  std::string bos_text;  ///< the token that the post_processor puts first; empty when none
};

/// Reads them. kFailed, naming the part, when one is of a kind that minke does not have; kCorrupt
/// when one is malformed.
Result<JsonPipeline> read_pipeline(const Json& tokenizer_json);

}  // namespace minke
