#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "minke/base/result.h"
#include "minke/base/thread_pool.h"

namespace minke {

/// Gives ln p(ids[i] | ids[0..i-1]) for i = 1 .. ids.size()-1.
using ScoreFn = FunctionRef<Result<std::vector<double>>(std::span<const int32_t> ids)>;

/// How surprised a model is by a text.
struct Perplexity {
  double perplexity = 0;  ///< exp(nll)
  double nll = 0;         ///< mean negative log-likelihood of a scored token, in nats
  int64_t tokens = 0;     ///< tokens scored
  int64_t windows = 0;
};

/// The perplexity of a text over disjoint windows of `context` tokens: the first token of each
/// window is not scored (nothing precedes it), a last window that is not full is dropped, no BOS is
/// added. So tokens = windows * (context - 1). Log-probabilities are summed in f64 in the text's
/// order.
///
/// kUsage when context < 2 or the text is shorter than one window; errors of `score` are passed on.
Result<Perplexity> perplexity(std::span<const int32_t> ids, int context, ScoreFn score);

}  // namespace minke
