// Goal: the limits are those of the hardware and not of the loop that measures them.
#include "minke/cli/machine_limits.h"

#include <gtest/gtest.h>

#include <cstring>

#include "minke/cli/peak_loops.h"

namespace minke {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoMiddleOnes) {
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({4, 1, 2, 100}), 3);
}

TEST(ReadAll, CombinesEveryWord) {
  constexpr size_t kBytes = 4096;
  alignas(64) static std::byte data[kBytes];
  uint64_t expected = 0;
  for (size_t i = 0; i < kBytes / 8; ++i) {
    const uint64_t word = i * 0x9E3779B97F4A7C15ULL;
    std::memcpy(data + 8 * i, &word, 8);
    expected ^= word;
  }
  EXPECT_EQ(read_all(data, kBytes), expected);
  data[kBytes - 1] ^= std::byte{1};
  EXPECT_NE(read_all(data, kBytes), expected);
}

TEST(PeakLoops, BothKindsAreThereAndTimeGrowsWithTheTurns) {
  bool has_kind[2] = {false, false};
  for (const PeakLoop& loop : peak_loops()) {
    has_kind[loop.kind == Precision::kInt8 ? 1 : 0] = true;
    EXPECT_GT(loop.ops_per_turn, 0) << loop.name;
  }
  EXPECT_TRUE(has_kind[0]);
  EXPECT_TRUE(has_kind[1]);
}

TEST(MachineLimits, RatesArePlausible) {
  LimitsOptions options;
  options.repeats = 3;
  options.buffer_bytes = 64 << 20;
  options.seconds_per_run = 0.01;
  const ThreadLimits limits = measure_limits(1, options);
  // No machine that minke runs on is outside these by an order of magnitude; a loop that the
  // compiler removed, or that waits for one accumulator, is.
  EXPECT_GT(limits.read_bytes_per_second, 1e8);
  EXPECT_LT(limits.read_bytes_per_second, 2e12);
  EXPECT_GT(limits.best(Precision::kF32), 1e8);
  EXPECT_LT(limits.best(Precision::kF32), 2e12);
  EXPECT_GT(limits.best(Precision::kInt8), 1e8);
  EXPECT_LT(limits.best(Precision::kInt8), 2e13);
  EXPECT_GE(limits.barrier_seconds, 0);
  EXPECT_LT(limits.barrier_seconds, 0.1);
}

TEST(MachineLimits, WiderVectorsAreNotSlowerThanPortableCode) {
  ThreadPool pool(1);
  LimitsOptions options;
  options.seconds_per_run = 0.01;
  double portable[2] = {0, 0};
  ThreadLimits limits;
  limits.peaks = measure_peaks(pool, options);
  for (const PeakRate& peak : limits.peaks) {
    if (peak.name != "portable") continue;
    portable[peak.kind == Precision::kInt8 ? 1 : 0] = peak.ops_per_second;
  }
  EXPECT_GE(limits.best(Precision::kF32), portable[0]);
  EXPECT_GE(limits.best(Precision::kInt8), portable[1]);
}

}  // namespace
}  // namespace minke
