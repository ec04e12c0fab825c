#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "minke/text/tokenizer_data.h"

namespace minke {

/// What a file says about the tokens that end a reply, beyond eos.
struct NamedEnds {
  std::optional<int32_t> eot;
  std::optional<int32_t> eom;
  std::optional<int32_t> fim_pad;
  std::optional<int32_t> fim_rep;
  std::optional<int32_t> fim_sep;
  std::vector<int32_t> others;
};

/// Whether a token of that name ends a reply in the models that have it. Such a token is a control
/// token whatever its type says.
bool is_end_name(std::string_view text);

/// Fills data.eot and data.end_of_generation, from what the file says or else by names. The tokens
/// and data.eos must be there.
void find_ends(const NamedEnds& given, TokenizerData& data);

}  // namespace minke
