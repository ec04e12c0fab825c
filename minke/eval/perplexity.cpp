#include "minke/eval/perplexity.h"

#include <cmath>

#include "minke/base/check.h"

namespace minke {

Result<Perplexity> perplexity(std::span<const int32_t> ids, int context, ScoreFn score) {
  if (context < 2) return fail(ErrorCode::kUsage, "context is {}, expected 2 or more", context);
  const size_t window = static_cast<size_t>(context);
  if (ids.size() < window) {
    return fail(ErrorCode::kUsage,
                "the text has {} tokens, less than one window of {}: give more text or a smaller "
                "--context",
                ids.size(), context);
  }
  Perplexity result;
  double sum = 0;
  for (size_t begin = 0; begin + window <= ids.size(); begin += window) {
    MK_ASSIGN(const std::vector<double> log_probs, score(ids.subspan(begin, window)));
    MK_CHECK(log_probs.size() == window - 1, "perplexity: {} scores for a window of {}",
             log_probs.size(), window);
    for (const double log_prob : log_probs) sum += log_prob;
    result.tokens += static_cast<int64_t>(log_probs.size());
    ++result.windows;
  }
  result.nll = -sum / static_cast<double>(result.tokens);
  result.perplexity = std::exp(result.nll);
  return result;
}

}  // namespace minke
