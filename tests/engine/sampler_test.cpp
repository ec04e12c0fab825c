// Goal: draws follow the stated distribution and depend on seed and position only. Method: exact
// distributions computed in double by the definition, and chi-square tests over many positions.
#include "minke/engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "minke/base/random.h"

namespace minke {
namespace {

std::vector<float> random_logits(size_t count, uint64_t seed, double spread) {
  Random random(seed);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = static_cast<float>(spread * random.normal());
  return logits;
}

int32_t draw(Sampler& sampler, std::vector<float> logits, const SamplingParams& params,
             const std::vector<int32_t>& history, size_t num_prompt = 0) {
  return sampler.draw(logits, params, {history, num_prompt});
}

// The distribution that SamplingParams describes, by its definition.
std::vector<double> expected(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  std::vector<double> p(logits.size());
  for (size_t i = 0; i < p.size(); ++i) {
    p[i] = std::exp((logits[i] - logits[order[0]]) / params.temperature);
  }
  if (params.top_k > 0) {
    for (size_t rank = params.top_k; rank < order.size(); ++rank) p[order[rank]] = 0.0;
  }
  const double total = std::accumulate(p.begin(), p.end(), 0.0);
  double mass = 0.0;
  for (const size_t i : order) {
    if (params.top_p < 1.0 && mass >= params.top_p * total) p[i] = 0.0;
    mass += p[i];
  }
  for (double& value : p) {
    if (value < params.min_p) value = 0.0;
  }
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& value : p) value /= sum;
  return p;
}

TEST(Sampler, takes_the_most_likely_token_at_temperature_zero_and_the_lower_of_equals) {
  Sampler sampler;
  SamplingParams params;
  params.temperature = 0.0;
  EXPECT_EQ(draw(sampler, {0.5f, 2.0f, 2.0f, -1.0f}, params, {}), 1);
  for (uint64_t seed = 0; seed < 50; ++seed) {
    const auto logits = random_logits(100 + seed, seed, 3.0);
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    EXPECT_EQ(draw(sampler, logits, params, {}), best);
  }
}

TEST(Sampler, draws_from_the_distribution_that_its_settings_describe) {
  const std::vector<float> logits = random_logits(40, 9, 2.0);
  std::vector<SamplingParams> cases(6);
  cases[1].temperature = 0.5;
  cases[2].top_k = 5;
  cases[3].top_p = 0.8;
  cases[4].min_p = 0.1;
  cases[5].temperature = 1.5;
  cases[5].top_k = 20;
  cases[5].top_p = 0.9;
  cases[5].min_p = 0.02;
  for (size_t c = 0; c < cases.size(); ++c) {
    Sampler sampler;
    const std::vector<double> p = expected(logits, cases[c]);
    constexpr int kDraws = 20000;
    std::vector<int> counts(logits.size());
    cases[c].seed = 1234 + c;
    for (int i = 0; i < kDraws; ++i) {
      ++counts[draw(sampler, logits, cases[c], std::vector<int32_t>(i % 997 + 1, 0))];
      cases[c].seed += i % 997 == 996;
    }
    double chi_square = 0.0;
    int degrees = -1;
    for (size_t i = 0; i < p.size(); ++i) {
      if (p[i] == 0.0) {
        EXPECT_EQ(counts[i], 0) << "case " << c << " token " << i;
        continue;
      }
      chi_square += std::pow(counts[i] - kDraws * p[i], 2) / (kDraws * p[i]);
      ++degrees;
    }
    // Five standard deviations above the mean of the chi-square distribution.
    EXPECT_LT(chi_square, degrees + 5.0 * std::sqrt(2.0 * degrees + 1.0)) << "case " << c;
  }
}

TEST(Sampler, depends_on_seed_and_position_only) {
  const std::vector<float> logits = random_logits(500, 3, 1.0);
  SamplingParams params;
  params.seed = 5;
  Sampler fresh, used;
  std::vector<int32_t> history;
  int differing = 0;
  for (int position = 0; position < 50; ++position) {
    const int32_t token = draw(fresh, logits, params, history);
    draw(used, random_logits(300, position, 1.0), params, history);
    EXPECT_EQ(draw(used, logits, params, history), token);
    SamplingParams other = params;
    other.seed = 6;
    differing += draw(used, logits, other, history) != token;
    history.push_back(token);
  }
  EXPECT_GT(differing, 30);
}

TEST(Sampler, penalizes_what_was_seen_and_what_was_generated) {
  Sampler sampler;
  SamplingParams params;
  params.temperature = 0.0;
  const std::vector<float> logits = {2.0f, 1.9f, -1.0f, 0.0f};
  params.repetition_penalty = 1.2;
  EXPECT_EQ(draw(sampler, logits, params, {0}, 1), 1) << "seen in the prompt";
  params.repetition_window = 1;
  EXPECT_EQ(draw(sampler, logits, params, {0, 3}, 2), 0) << "outside the window";
  params = {};
  params.temperature = 0.0;
  params.presence_penalty = 0.5;
  EXPECT_EQ(draw(sampler, logits, params, {0}, 1), 0) << "the prompt is not penalized";
  EXPECT_EQ(draw(sampler, logits, params, {3, 0}, 1), 1);
  params.presence_penalty = 0.0;
  params.frequency_penalty = 0.06;
  EXPECT_EQ(draw(sampler, logits, params, {3, 0}, 1), 0);
  EXPECT_EQ(draw(sampler, logits, params, {3, 0, 0}, 1), 1);
  params = {};
  params.temperature = 0.0;
  params.logit_bias = {{3, 5.0f}, {100, 1.0f}, {-1, 1.0f}};
  EXPECT_EQ(draw(sampler, logits, params, {}), 3);
}

TEST(Sampler, reports_the_log_probabilities_of_the_raw_logits) {
  const std::vector<float> logits = random_logits(1000, 21, 4.0);
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  const TokenLogprobs result = token_logprobs(logits, 17, 5);
  EXPECT_NEAR(result.logprob, logits[17] - std::log(sum), 1e-5);
  ASSERT_EQ(result.top.size(), 5u);
  EXPECT_EQ(result.top[0].first, argmax(logits));
  for (size_t i = 1; i < 5; ++i) EXPECT_GE(result.top[i - 1].second, result.top[i].second);
  EXPECT_EQ(token_logprobs(logits, 17, 0).top.size(), 0u);
}

TEST(Sampler, survives_logits_that_are_not_numbers) {
  Sampler sampler;
  SamplingParams params;
  std::vector<float> logits(33, NAN);
  EXPECT_GE(draw(sampler, logits, params, {}), 0);
  logits[20] = 1.0f;
  EXPECT_EQ(draw(sampler, logits, params, {}), 20);
  std::fill(logits.begin(), logits.end(), -INFINITY);
  EXPECT_GE(draw(sampler, logits, params, {}), 0);
}

}  // namespace
}  // namespace minke
