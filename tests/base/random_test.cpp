// Goal: draws are functions of seed and counter, the same everywhere, and look as their
// distributions say. Method: splitmix64's published outputs, moments of many draws.
#include "minke/base/random.h"

#include <gtest/gtest.h>

#include <array>

namespace minke {
namespace {

TEST(Random, MixIsSplitmix64) {
  // Vigna's splitmix64.c with seed 1234567 (prng.di.unimi.it): state grows by the golden gamma.
  constexpr uint64_t kGamma = 0x9E3779B97F4A7C15ULL;
  EXPECT_EQ(mix64(1234567), 6457827717110365317ULL);
  EXPECT_EQ(mix64(1234567 + kGamma), 3203168211198807973ULL);
  EXPECT_EQ(mix64(1234567 + 2 * kGamma), 9817491932198370423ULL);
}

TEST(Random, ADrawDependsOnSeedAndCounterOnly) {
  Random a(42);
  for (uint64_t i = 0; i < 100; ++i) EXPECT_EQ(a.next(), random_at(42, i));
  EXPECT_NE(random_at(42, 0), random_at(43, 0));
  EXPECT_NE(random_at(42, 0), random_at(42, 1));
}

TEST(Random, UniformFillsTheUnitIntervalEvenly) {
  Random random(1);
  std::array<int, 16> bins{};
  constexpr int kDraws = 160000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.uniform();
    ASSERT_TRUE(x >= 0.0 && x < 1.0);
    ++bins[static_cast<size_t>(x * 16)];
  }
  for (const int bin : bins) EXPECT_NEAR(bin, kDraws / 16, 5 * 97) << "five standard deviations";
}

TEST(Random, BelowStaysBelowAndReachesAll) {
  Random random(2);
  std::array<int, 7> counts{};
  for (int i = 0; i < 7000; ++i) ++counts.at(random.below(7));
  for (const int count : counts) EXPECT_NEAR(count, 1000, 150);
  EXPECT_EQ(random.below(1), 0u);
}

TEST(Random, NormalHasTheMomentsOfAStandardNormal) {
  Random random(3);
  constexpr int kDraws = 200000;
  double sum = 0, square = 0, fourth = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = random.normal();
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    square += x * x;
    fourth += x * x * x * x;
  }
  // Standard errors: 1, sqrt(2), sqrt(96) over sqrt(kDraws); five of each.
  EXPECT_NEAR(sum / kDraws, 0.0, 0.012);
  EXPECT_NEAR(square / kDraws, 1.0, 0.016);
  EXPECT_NEAR(fourth / kDraws, 3.0, 0.11);
}

}  // namespace
}  // namespace minke
