#pragma once
#include "minke/server/generation_fields.h"

namespace minke {

/// A chat completion request, checked.
struct ChatRequest {
  GenerationFields generation;
  Json
      messages;  ///< array of {role, content[, name]}: roles system, user, assistant; plain strings
  int top_logprobs = -1;  ///< -1: no log-probabilities
};

inline constexpr size_t kMessagesMax = 10'000;

/// Reads a body of POST /chat/completions. `developer` becomes `system`; content parts of type text
/// are joined; reasoning_content of earlier turns is ignored. Tools, JSON mode and images are not
/// served by this version, and asking for them is an error rather than silently something else.
ApiResult<ChatRequest> read_chat_request(const Json& body, const GenerationContext& context);

}  // namespace minke
