#include "minke/engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "minke/base/check.h"
#include "minke/base/random.h"

namespace minke {
namespace {

void add_biases(std::span<float> logits, const SamplingParams& params) {
  for (const auto& [token, bias] : params.logit_bias) {
    if (token >= 0 && static_cast<size_t>(token) < logits.size()) logits[token] += bias;
  }
}

// CTRL's penalty (Keskar et al. 2019) on each token seen in the window, once.
void penalize_repetition(std::span<float> logits, const SamplingParams& params,
                         std::span<const int32_t> tokens) {
  if (params.repetition_penalty == 1.0 || params.repetition_window == 0) return;
  const size_t window = params.repetition_window < 0
                            ? tokens.size()
                            : std::min<size_t>(tokens.size(), params.repetition_window);
  std::vector<int32_t> seen(tokens.end() - static_cast<int64_t>(window), tokens.end());
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  const auto penalty = static_cast<float>(params.repetition_penalty);
  for (const int32_t token : seen) {
    float& logit = logits[token];
    logit = logit > 0.0f ? logit / penalty : logit * penalty;
  }
}

// OpenAI's penalties, on generated tokens.
void penalize_use(std::span<float> logits, const SamplingParams& params,
                  std::span<const int32_t> generated) {
  if (params.frequency_penalty == 0.0 && params.presence_penalty == 0.0) return;
  std::unordered_map<int32_t, int> uses;
  for (const int32_t token : generated) ++uses[token];
  for (const auto& [token, count] : uses) {
    logits[token] -= static_cast<float>(params.frequency_penalty * count + params.presence_penalty);
  }
}

}  // namespace

int32_t argmax(std::span<const float> logits) {
  // Eight running maxima first, which compilers turn into vectors; then the first index that has
  // it.
  float best[8];
  std::fill(best, best + 8, -INFINITY);
  size_t i = 0;
  for (; i + 8 <= logits.size(); i += 8) {
    for (size_t lane = 0; lane < 8; ++lane) {
      best[lane] = logits[i + lane] > best[lane] ? logits[i + lane] : best[lane];
    }
  }
  float largest = *std::max_element(best, best + 8);
  for (; i < logits.size(); ++i) largest = logits[i] > largest ? logits[i] : largest;
  const auto found = std::find(logits.begin(), logits.end(), largest);
  return found == logits.end() ? 0 : static_cast<int32_t>(found - logits.begin());
}

bool Sampler::before(const Candidate& a, const Candidate& b) {
  return a.weight > b.weight || (a.weight == b.weight && a.token < b.token);
}

void Sampler::keep_top_k(int top_k) {
  if (top_k <= 0 || static_cast<size_t>(top_k) >= candidates_.size()) return;
  std::nth_element(candidates_.begin(), candidates_.begin() + top_k - 1, candidates_.end(), before);
  candidates_.resize(static_cast<size_t>(top_k));
}

void Sampler::keep_top_p(double top_p) {
  if (top_p >= 1.0) return;
  double total = 0.0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  // Sorts only as far as the nucleus reaches, in growing pieces: it is mostly a few dozen tokens.
  double mass = 0.0;
  size_t sorted = 0;
  for (size_t kept = 0; kept < candidates_.size(); ++kept) {
    if (kept == sorted) {
      const size_t next = std::min(candidates_.size(), std::max<size_t>(64, 4 * sorted));
      std::partial_sort(candidates_.begin() + static_cast<int64_t>(sorted),
                        candidates_.begin() + static_cast<int64_t>(next), candidates_.end(),
                        before);
      sorted = next;
    }
    mass += candidates_[kept].weight;
    if (mass >= top_p * total) {
      candidates_.resize(kept + 1);
      return;
    }
  }
}

int32_t Sampler::draw(std::span<float> logits, const SamplingParams& params,
                      const SamplerHistory& history) {
  MK_CHECK(!logits.empty(), "sampler: no logits");
  add_biases(logits, params);
  penalize_repetition(logits, params, history.tokens);
  penalize_use(logits, params, history.tokens.subspan(history.num_prompt));
  const int32_t best = argmax(logits);
  if (params.temperature <= 0.0) return best;

  // Below e^-37 < 2^-53 a token cannot change a sum of weights of which the largest is 1.
  constexpr double kExponentMin = -37.0;
  const auto inverse_temperature = static_cast<float>(1.0 / params.temperature);
  const auto floor = static_cast<float>(logits[best] + kExponentMin * params.temperature);
  candidates_.clear();
  for (size_t token = 0; token < logits.size(); ++token) {
    if (!(logits[token] >= floor)) continue;
    const float exponent = (logits[token] - logits[best]) * inverse_temperature;
    candidates_.push_back({exponent, static_cast<int32_t>(token)});
  }
  keep_top_k(params.top_k);  // by exponent: e^x keeps the order
  for (Candidate& candidate : candidates_) candidate.weight = std::exp(candidate.weight);
  keep_top_p(params.top_p);
  if (params.min_p > 0.0) {
    std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < params.min_p; });
  }
  // In order of the ids, so that the draw does not depend on how the selections left them.
  std::sort(candidates_.begin(), candidates_.end(),
            [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
  double total = 0.0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  double left = uniform_at(params.seed, history.tokens.size()) * total;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.weight;
    if (left < 0.0) return candidate.token;
  }
  return candidates_.empty() ? best : candidates_.back().token;
}

TokenLogprobs token_logprobs(std::span<const float> logits, int32_t token, int count) {
  const float largest = logits[argmax(logits)];
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double log_sum = largest + std::log(sum);
  TokenLogprobs result;
  result.logprob = static_cast<float>(logits[token] - log_sum);
  std::vector<int32_t> order(logits.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
  const auto wanted = static_cast<int64_t>(std::min<size_t>(order.size(), std::max(count, 0)));
  std::partial_sort(order.begin(), order.begin() + wanted, order.end(), [&](int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  });
  for (int64_t i = 0; i < wanted; ++i) {
    result.top.emplace_back(order[i], static_cast<float>(logits[order[i]] - log_sum));
  }
  return result;
}

}  // namespace minke
