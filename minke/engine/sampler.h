#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "minke/engine/request.h"

namespace minke {

/// What has been written so far, for the penalties.
struct SamplerHistory {
  std::span<const int32_t> tokens;  ///< prompt and generated tokens, in order
  size_t num_prompt = 0;            ///< how many of them are the prompt
};

/// Draws tokens from logits. Keeps only scratch memory between calls: the result is a function of
/// the arguments.
class Sampler {
 public:
  /// The next token: SamplingParams' steps in their order, then a draw by (params.seed, position),
  /// position being history.tokens.size(). `logits` [vocab] are changed (biases and penalties).
  int32_t draw(std::span<float> logits, const SamplingParams& params,
               const SamplerHistory& history);

 private:
  void keep_top_k(int top_k);
  void keep_top_p(double top_p);

  struct Candidate {
    float weight;  // e^((logit - max) / temperature)
    int32_t token;
  };
  static bool before(const Candidate& a, const Candidate& b);
  std::vector<Candidate> candidates_;
};

/// ln p of every token would need vocab numbers; this is the one of `token` and the `count`
/// largest, in descending order (ties: the lower id first), from raw logits.
struct TokenLogprobs {
  float logprob = 0.0f;
  std::vector<std::pair<int32_t, float>> top;
};
TokenLogprobs token_logprobs(std::span<const float> logits, int32_t token, int count);

/// The largest logit's index, the lowest of equals. NaN is never chosen over a number.
int32_t argmax(std::span<const float> logits);

}  // namespace minke
