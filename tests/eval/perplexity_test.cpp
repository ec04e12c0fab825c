// Goal: perplexity is what its definition says. Method: distributions whose perplexity is known in
// closed form.
#include "minke/eval/perplexity.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

namespace minke {
namespace {

std::vector<int32_t> count_up(int n) {
  std::vector<int32_t> ids(static_cast<size_t>(n));
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

TEST(Perplexity, OfAUniformDistributionIsTheNumberOfTokens) {
  const auto uniform = [](std::span<const int32_t> ids) -> Result<std::vector<double>> {
    return std::vector<double>(ids.size() - 1, -std::log(50.0));
  };
  const auto result = perplexity(count_up(100), 10, uniform);
  ASSERT_TRUE(result);
  EXPECT_NEAR(result->perplexity, 50.0, 1e-9);
  EXPECT_NEAR(result->nll, std::log(50.0), 1e-12);
}

TEST(Perplexity, IsTheGeometricMeanOverAllScoredTokens) {
  // Each token has probability 1 / (1 + id), so the mean is not that of the windows' perplexities.
  const auto by_id = [](std::span<const int32_t> ids) -> Result<std::vector<double>> {
    std::vector<double> out;
    for (const int32_t id : ids.subspan(1)) out.push_back(-std::log(1.0 + id));
    return out;
  };
  const auto result = perplexity(count_up(6), 3, by_id);
  ASSERT_TRUE(result);
  EXPECT_NEAR(result->perplexity, std::pow(2.0 * 3.0 * 5.0 * 6.0, 0.25), 1e-12);
}

TEST(Perplexity, WindowsAreDisjointAndTheTailIsDropped) {
  std::vector<std::vector<int32_t>> seen;
  const auto record = [&](std::span<const int32_t> ids) -> Result<std::vector<double>> {
    seen.emplace_back(ids.begin(), ids.end());
    return std::vector<double>(ids.size() - 1, -1.0);
  };
  const auto result = perplexity(count_up(11), 4, record);
  ASSERT_TRUE(result);
  EXPECT_EQ(seen, (std::vector<std::vector<int32_t>>{{0, 1, 2, 3}, {4, 5, 6, 7}}));
  EXPECT_EQ(result->tokens, 6);
  EXPECT_EQ(result->windows, 2);
}

TEST(Perplexity, RefusesWhatCannotBeScored) {
  const auto never = [](std::span<const int32_t>) -> Result<std::vector<double>> {
    ADD_FAILURE() << "nothing was to be scored";
    return std::vector<double>();
  };
  EXPECT_EQ(perplexity(count_up(9), 10, never).error().code, ErrorCode::kUsage);
  EXPECT_EQ(perplexity({}, 10, never).error().code, ErrorCode::kUsage);
  EXPECT_EQ(perplexity(count_up(9), 1, never).error().code, ErrorCode::kUsage);
}

TEST(Perplexity, PassesAnErrorOfTheScorerOn) {
  const auto broken = [](std::span<const int32_t>) -> Result<std::vector<double>> {
    return fail(ErrorCode::kInterrupted, "stopped");
  };
  EXPECT_EQ(perplexity(count_up(10), 5, broken).error().code, ErrorCode::kInterrupted);
}

}  // namespace
}  // namespace minke
