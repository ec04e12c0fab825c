// Goal: packing loses nothing and wastes little. Method: invariants on drawn lengths, and a case
// that first fit gets wrong.
#include "minke/data/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "minke/base/random.h"

namespace minke {
namespace {

TEST(PackBestFit, PutsEverySequenceIntoOneRowThatHoldsIt) {
  Random random(7);
  for (int round = 0; round < 20; ++round) {
    const auto row_max = static_cast<int64_t>(1 + random.below(300));
    std::vector<int64_t> lengths(random.below(400));
    for (int64_t& length : lengths) {
      length = 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(row_max)));
    }
    const auto rows = pack_best_fit(lengths, row_max);
    std::vector<int> seen(lengths.size());
    std::vector<int64_t> filled;
    for (const auto& row : rows) {
      int64_t tokens = 0;
      for (const int64_t index : row) {
        ++seen[static_cast<size_t>(index)];
        tokens += lengths[static_cast<size_t>(index)];
      }
      EXPECT_LE(tokens, row_max);
      filled.push_back(tokens);
    }
    EXPECT_TRUE(std::ranges::all_of(seen, [](int count) { return count == 1; }));
    // No two rows would fit into one: best fit would have joined them.
    std::ranges::sort(filled);
    if (filled.size() > 1) {
      EXPECT_GT(filled[0] + filled[1], row_max);
    }
  }
}

TEST(PackBestFit, TakesTheFullestRowThatHasRoom) {
  // First fit would put 2 beside 6 and need a third row for 4.
  const std::vector<int64_t> lengths = {8, 6, 4, 2};
  EXPECT_EQ(pack_best_fit(lengths, 10), (std::vector<std::vector<int64_t>>{{0, 3}, {1, 2}}));
}

TEST(PackBestFit, OfNothingIsNothing) { EXPECT_TRUE(pack_best_fit({}, 4).empty()); }

}  // namespace
}  // namespace minke
