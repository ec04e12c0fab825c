// Goal: the angles of rotary embedding. Method: RoFormer's equation 15 in double, up to the f32
// rounding of an angle (half a unit in its last place: p * 2^-24) that transformers makes too.
#include "minke/nn/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

namespace minke {
namespace {

TEST(RopeTableTest, AnglesAreThoseOfRoformer) {
  constexpr int64_t kPositions = 4097, kHeadDim = 24, kHalf = kHeadDim / 2;
  const Tensor table = rope_table(kPositions, kHeadDim, 10000.0);
  ASSERT_EQ(table.shape(), (Shape{kPositions, kHeadDim}));
  for (const int64_t p : {0, 1, 2, 63, 1000, 4096}) {
    const float* row = table.view().row<float>(p);
    const double tolerance = 2e-7 * static_cast<double>(p + 1);
    for (int64_t i = 0; i < kHalf; ++i) {
      const double angle = static_cast<double>(p) *
                           std::pow(10000.0, -2.0 * static_cast<double>(i) / double{kHeadDim});
      EXPECT_NEAR(row[i], std::cos(angle), tolerance) << p << " " << i;
      EXPECT_NEAR(row[kHalf + i], std::sin(angle), tolerance) << p << " " << i;
    }
  }
}

}  // namespace
}  // namespace minke
