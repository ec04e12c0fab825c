#pragma once
#include <cstdint>
#include <functional>
#include <span>

#include "minke/base/result.h"
#include "minke/eval/perplexity.h"
#include "minke/eval/scoring.h"
#include "minke/tensor/device.h"

namespace minke {

/// How far a model's predictions are from another's, over the tokens of a text.
struct Divergence {
  Perplexity reference;
  Perplexity other;
  double kl = 0;        ///< mean of KL(reference || other) over the positions, in nats
  double kl_max = 0;    ///< of one position
  double same_top = 0;  ///< share of positions with the same most likely token
};

/// Compares two models over disjoint windows of `context` tokens, as perplexity() cuts them; the
/// positions are the scored ones. Both must have `vocab_size` logits. A window's logits of the
/// reference are held, context * vocab_size * 4 bytes. `progress` is told the windows done; false
/// stops with kInterrupted. kUsage as perplexity(); errors of the scorers.
Result<Divergence> divergence(const Device& device, Scorer& reference, Scorer& other,
                              int64_t vocab_size, std::span<const int32_t> ids, int context,
                              const std::function<bool(int64_t windows)>& progress);

}  // namespace minke
