#pragma once
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "minke/server/generation_fields.h"

namespace minke {

/// A prompt as text, or as token ids.
using CompletionPrompt = std::variant<std::string, std::vector<int32_t>>;

/// A text completion request, checked.
struct CompletionRequest {
  GenerationFields generation;
  std::vector<CompletionPrompt> prompts;  ///< 1 or more
  bool echo = false;
  int num_logprobs = -1;  ///< -1: none
};

inline constexpr size_t kPromptsMax = 64;  ///< prompts times n, too

/// Reads a body of POST /completions. `prompt` is a string, an array of strings, an array of token
/// ids or an array of such arrays; it may be left out only by mistake, so that is an error.
ApiResult<CompletionRequest> read_completion_request(const Json& body,
                                                     const GenerationContext& context);

}  // namespace minke
