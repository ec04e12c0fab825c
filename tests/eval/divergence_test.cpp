// Goal: the divergence of two models is the sum that its definition says, position by position.
// Method: models whose logits are a known function of the token, and the sum in double by hand.
#include "minke/eval/divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "minke/autograd/context.h"
#include "tests/eval/tiny_config.h"

namespace minke {
namespace {

constexpr int kVocab = 7;

float logit_of(int32_t token, int32_t next, float noise) {
  return 3.0f * std::sin(token * 1.7f + next * 2.9f) + noise * std::sin(token * 5.1f + next * 0.7f);
}

class TokenModel final : public Model {
 public:
  explicit TokenModel(float noise) : Model(tiny_config(kVocab)), noise_(noise) {}
  Tensor forward(const Context& context, const ForwardBatch& batch, Tensor*) const override {
    const auto rows = static_cast<int64_t>(batch.tokens.size());
    const Tensor logits = context.empty(DType::kF32, {rows, kVocab});
    for (int64_t row = 0; row < rows; ++row) {
      for (int32_t next = 0; next < kVocab; ++next) {
        logits.view().row<float>(row)[next] =
            logit_of(batch.tokens[static_cast<size_t>(row)], next, noise_);
      }
    }
    return logits;
  }

 private:
  float noise_;
};

std::vector<double> probabilities(int32_t token, float noise) {
  std::vector<double> p;
  double sum = 0;
  for (int32_t next = 0; next < kVocab; ++next) {
    p.push_back(std::exp(static_cast<double>(logit_of(token, next, noise))));
    sum += p.back();
  }
  for (double& x : p) x /= sum;
  return p;
}

Result<Divergence> measure(const std::vector<int32_t>& ids, int context, float noise,
                           int64_t windows_max = 1000) {
  auto device = Device::create({.num_threads = 2, .pin_threads = false, .kernels = "ref"});
  EXPECT_TRUE(device);
  const TokenModel a(0.0f), b(noise);
  auto reference = Scorer::create(**device, a, DType::kF32, context);
  auto other = Scorer::create(**device, b, DType::kF32, context);
  EXPECT_TRUE(reference && other);
  return divergence(**device, *reference, *other, kVocab, ids, context,
                    [&](int64_t windows) { return windows < windows_max; });
}

std::vector<int32_t> some_ids(int count) {
  std::vector<int32_t> ids;
  for (int i = 0; i < count; ++i) ids.push_back((i * 5 + i / 4) % kVocab);
  return ids;
}

TEST(Divergence, IsTheMeanOverTheScoredPositions) {
  const std::vector<int32_t> ids = some_ids(450);
  constexpr int kContext = 150;  // more than a chunk
  constexpr float kNoise = 0.8f;
  double kl = 0, kl_max = 0, nll = 0;
  int positions = 0, same = 0;
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    if (i % kContext == kContext - 1) continue;  // the last of its window
    const auto p = probabilities(ids[i], 0.0f), q = probabilities(ids[i], kNoise);
    double one = 0;
    for (size_t v = 0; v < p.size(); ++v) one += p[v] * std::log(p[v] / q[v]);
    kl += one;
    kl_max = std::max(kl_max, one);
    nll -= std::log(q[static_cast<size_t>(ids[i + 1])]);
    same += std::max_element(p.begin(), p.end()) - p.begin() ==
            std::max_element(q.begin(), q.end()) - q.begin();
    ++positions;
  }
  const auto result = measure(ids, kContext, kNoise);
  ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(result->other.tokens, positions);
  EXPECT_NEAR(result->kl, kl / positions, 1e-5);
  EXPECT_NEAR(result->kl_max, kl_max, 1e-5);
  EXPECT_NEAR(result->other.nll, nll / positions, 1e-5);
  EXPECT_NEAR(result->same_top, static_cast<double>(same) / positions, 1e-9);
  EXPECT_GT(result->kl, 0.01);
}

TEST(Divergence, OfAModelFromItselfIsNothing) {
  const auto result = measure(some_ids(64), 32, 0.0f);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->kl, 0.0);
  EXPECT_EQ(result->same_top, 1.0);
  EXPECT_EQ(result->other.perplexity, result->reference.perplexity);
}

TEST(Divergence, StopsWhenItIsToldTo) {
  const auto result = measure(some_ids(300), 30, 0.5f, 3);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::kInterrupted);
  const auto too_short = measure(some_ids(20), 30, 0.5f);
  ASSERT_FALSE(too_short);
  EXPECT_EQ(too_short.error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace minke
