#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "minke/base/result.h"

namespace minke {

/// Ids as people paste them: separated by white space, commas and the brackets of a JSON array; or
/// the document that `tokenize --json` prints. kUsage for what is no id below vocab_size.
Result<std::vector<int32_t>> parse_token_ids(std::string_view text, int32_t vocab_size);

}  // namespace minke
