#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/engine/engine.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// A text to generate: what a command asks of an engine.
struct TextRequest {
  std::vector<int32_t> prompt;
  int max_tokens = 0;  ///< 0: up to the context's end
  SamplingParams sampling;
  std::vector<std::string> stops;     ///< strings that end the text (they are not part of it)
  std::function<bool()> should_stop;  ///< asked 20 times a second; true ends the generation
};

/// A generated text, and what it took.
struct TextResult {
  std::string text;
  std::vector<int32_t> token_ids;  ///< without the token that ended it
  int64_t prompt_tokens = 0;
  int64_t cached_tokens = 0;                  ///< of these, those that the engine had read before
  FinishReason finish = FinishReason::kStop;  ///< kCancelled when should_stop() said so
  double first_token_seconds = 0;             ///< from the request to the first token
  double seconds = 0;                         ///< from the request to the end

  /// Tokens of the prompt read per second, until the first token.
  double prefill_tokens_per_second() const;
  /// Tokens per second after the first one; 0 with fewer than two.
  double decode_tokens_per_second() const;
};

/// Generates and streams text: `on_text` gets valid UTF-8 pieces on the calling thread, in order,
/// as soon as they are certain. Errors: those of Engine::submit, and kFailed when the engine gives
/// up.
Result<TextResult> generate_text(Engine& engine, const Tokenizer& tokenizer, TextRequest request,
                                 const std::function<void(std::string_view)>& on_text);

/// "37 prompt tokens in 0.12 s (308/s), 64 tokens at 55.3/s, first after 0.13 s".
std::string speed_text(const TextResult& result);

}  // namespace minke
