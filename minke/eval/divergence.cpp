#include "minke/eval/divergence.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "minke/base/check.h"

namespace minke {
namespace {

constexpr size_t kChunkRows = 64;

// What one position says.
struct Position {
  double kl = 0;
  double log_prob = 0, other_log_prob = 0;  // of the token that follows
  bool same_top = false;
};

double log_sum_exp(const float* logits, int64_t count, float top) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += std::exp(static_cast<double>(logits[i]) - top);
  return static_cast<double>(top) + std::log(sum);
}

Position compare(const float* a, const float* b, int64_t count, int32_t next) {
  const float* const top_a = std::max_element(a, a + count);
  const float* const top_b = std::max_element(b, b + count);
  const double norm_a = log_sum_exp(a, count, *top_a), norm_b = log_sum_exp(b, count, *top_b);
  Position out;
  for (int64_t i = 0; i < count; ++i) {
    const double log_p = a[i] - norm_a, log_q = b[i] - norm_b;
    out.kl += std::exp(log_p) * (log_p - log_q);
  }
  out.kl = std::max(0.0, out.kl);  // rounding may leave it below
  out.log_prob = a[next] - norm_a;
  out.other_log_prob = b[next] - norm_b;
  out.same_top = top_a - a == top_b - b;
  return out;
}

// All positions of a window, compared.
Result<std::vector<Position>> compare_window(const Device& device, Scorer& reference, Scorer& other,
                                             int64_t vocab_size, std::span<const int32_t> ids) {
  const size_t count = ids.size() - 1;  // the last token predicts nothing that is there
  std::vector<float> kept(count * static_cast<size_t>(vocab_size));
  MK_TRY(reference.forward(ids.first(count), kChunkRows, [&](size_t begin, const Tensor& logits) {
    MK_CHECK(logits.size(1) == vocab_size, "divergence: {} logits, not {}", logits.size(1),
             vocab_size);
    std::copy_n(logits.data<float>(), logits.num_elements(),
                kept.data() + begin * static_cast<size_t>(vocab_size));
  }));
  std::vector<Position> positions(count);
  MK_TRY(other.forward(ids.first(count), kChunkRows, [&](size_t begin, const Tensor& logits) {
    MK_CHECK(logits.size(1) == vocab_size, "divergence: {} logits, not {}", logits.size(1),
             vocab_size);
    const float* const rows = logits.data<float>();
    device.pool().parallel_for(logits.size(0), 1, [&](int64_t from, int64_t to, int) {
      for (int64_t i = from; i < to; ++i) {
        const size_t at = begin + static_cast<size_t>(i);
        positions[at] = compare(kept.data() + at * static_cast<size_t>(vocab_size),
                                rows + i * vocab_size, vocab_size, ids[at + 1]);
      }
    });
  }));
  return positions;
}

}  // namespace

Result<Divergence> divergence(const Device& device, Scorer& reference, Scorer& other,
                              int64_t vocab_size, std::span<const int32_t> ids, int context,
                              const std::function<bool(int64_t)>& progress) {
  Divergence out;
  std::vector<std::vector<double>> other_scores;
  double same_top = 0;
  const auto score = [&](std::span<const int32_t> window) -> Result<std::vector<double>> {
    MK_ASSIGN(const std::vector<Position> positions,
              compare_window(device, reference, other, vocab_size, window));
    std::vector<double> log_probs;
    other_scores.emplace_back();
    for (const Position& position : positions) {
      log_probs.push_back(position.log_prob);
      other_scores.back().push_back(position.other_log_prob);
      out.kl += position.kl;
      out.kl_max = std::max(out.kl_max, position.kl);
      same_top += position.same_top ? 1 : 0;
    }
    if (!progress(static_cast<int64_t>(other_scores.size()))) {
      return fail(ErrorCode::kInterrupted, "interrupted");
    }
    return log_probs;
  };
  MK_ASSIGN(out.reference, perplexity(ids, context, score));
  size_t next = 0;
  const auto replay = [&](std::span<const int32_t>) -> Result<std::vector<double>> {
    return other_scores[next++];
  };
  MK_ASSIGN(out.other, perplexity(ids, context, replay));
  out.kl /= static_cast<double>(out.reference.tokens);
  out.same_top = same_top / static_cast<double>(out.reference.tokens);
  return out;
}

}  // namespace minke
