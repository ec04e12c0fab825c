#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace minke {

/// How the next token is drawn from the logits. Applied in this order: logit_bias, repetition,
/// frequency and presence penalties, temperature, top_k, top_p, min_p. The draw is a function of
/// `seed` and the token's position in the sequence only.
struct SamplingParams {
  double temperature = 1.0;  ///< 0: the most likely token (greedy), ties to the lower id
  int top_k = 0;             ///< keep the k most likely; 0: all
  double top_p = 1.0;        ///< keep the smallest set with this probability; 1: all
  double min_p = 0.0;        ///< drop tokens below min_p times the most likely one's
  double repetition_penalty =
      1.0;                     ///< divides positive and multiplies negative logits of seen tokens
  int repetition_window = 64;  ///< how many last tokens (prompt included) count as seen; -1: all
  double frequency_penalty = 0.0;  ///< subtracted once for each time a token was generated
  double presence_penalty = 0.0;   ///< subtracted once if a token was generated
  uint64_t seed = 0;
  std::vector<std::pair<int32_t, float>> logit_bias;  ///< added to the logits of these token ids

  /// Names each setting once, for flags, request fields and documents: v(name, field, low, high,
  /// help).
  template <class Visitor>
  void visit(Visitor& v) {
    v("temperature", temperature, 0.0, 2.0, "randomness; 0 takes the most likely token");
    v("top_k", top_k, 0, 1 << 20, "keep the k most likely tokens; 0 keeps all");
    v("top_p", top_p, 0.0, 1.0, "keep the smallest set of tokens with this probability");
    v("min_p", min_p, 0.0, 1.0, "drop tokens less likely than this share of the best one");
    v("repetition_penalty", repetition_penalty, 0.01, 10.0, "penalty on tokens seen lately");
    v("repetition_window", repetition_window, -1, 1 << 20, "tokens that count as seen; -1 is all");
    v("frequency_penalty", frequency_penalty, -2.0, 2.0, "penalty for each earlier use");
    v("presence_penalty", presence_penalty, -2.0, 2.0, "penalty for any earlier use");
  }
};

/// Why a generation ended.
enum class FinishReason {
  kStop,       ///< a stop token was drawn (it is not delivered)
  kLength,     ///< max_tokens or the context's end was reached
  kCancelled,  ///< cancel() was called
  kFailed,     ///< the engine could not go on (out of KV pages); `TokenEvent::error` says why
};

/// "stop", "length", "cancelled", "failed".
constexpr const char* finish_name(FinishReason finish) {
  switch (finish) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kCancelled:
      return "cancelled";
    case FinishReason::kFailed:
      return "failed";
  }
  return "failed";
}

/// A generation to run: token ids in, token ids out. The engine never sees text.
struct Request {
  std::vector<int32_t> prompt;  ///< 1 or more ids, each below the vocabulary's size
  int max_tokens = 0;           ///< most tokens to generate; 0 or less: up to the context's end
  std::vector<int32_t> stop_tokens;  ///< ids that end the generation, e.g. end of turn
  int num_top_logprobs = -1;  ///< -1: no log-probabilities; n: of the drawn token and the n best
  SamplingParams sampling;
};

/// One generated token, or the end. Events come in order, the last one having `finish`.
struct TokenEvent {
  std::optional<int32_t> token;  ///< absent only in an event that just ends the generation
  int64_t num_cached = 0;        ///< tokens of the prompt that were in the prefix cache
  float logprob = 0.0f;  ///< ln p of the token under the model (before penalties and temperature)
  std::vector<std::pair<int32_t, float>> top_logprobs;  ///< most likely first
  std::optional<FinishReason> finish;
  std::string error;  ///< for kFailed
};

/// Receives the events of one request on the engine's thread: must return soon and not throw.
using TokenSink = std::function<void(const TokenEvent&)>;

}  // namespace minke
