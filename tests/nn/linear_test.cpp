// Goal: y = x W^T whatever the formats of W's parts and the precision. Method: against a product in
// double of the decoded weights; the bound of int8 is what its rounding can do at most.
#include "minke/nn/linear.h"

#include <cmath>

#include "tests/nn/weights.h"

namespace minke {
namespace {

constexpr int64_t kCols = 96;

class LinearTest : public ::testing::Test {
 protected:
  LinearTest() {
    for (const auto& [name, dtype, rows] :
         {std::tuple("a", DType::kQ8_0, 48), {"b", DType::kF32, 16}, {"c", DType::kQ4_1, 32}}) {
      const auto values = weights_.add(name, dtype, {rows, kCols});
      plain_.insert(plain_.end(), values.begin(), values.end());
    }
    const GgufFile file = weights_.file();
    auto made =
        ParameterLoader(device_, file, store_).matrices({{"a", 48}, {"b", 16}, {"c", 32}}, kCols);
    EXPECT_TRUE(made) << made.error().message;
    parts_ = std::move(*made);
    x_ = Tensor::zeros(DType::kF32, {5, kCols});
    for (float& value : x_.span<float>()) value = static_cast<float>(random_.normal());
  }

  /// The largest |y - x W^T| over columns [begin, end), where W is plain_.
  double worst(const Tensor& y, int64_t begin, int64_t end) const {
    double worst = 0;
    for (int64_t i = 0; i < y.size(0); ++i) {
      for (int64_t row = begin; row < end; ++row) {
        double sum = 0;
        for (int64_t col = 0; col < kCols; ++col) {
          sum += static_cast<double>(x_.data<float>()[i * kCols + col]) *
                 static_cast<double>(plain_[static_cast<size_t>(row * kCols + col)]);
        }
        worst = std::max(worst, std::abs(sum - static_cast<double>(y.view().row<float>(i)[row])));
      }
    }
    return worst;
  }

  Device device_{1, false, CpuLevel::kRef};  // no second thread: a death test forks
  RandomWeights weights_{11};
  Random random_{12};
  ParameterStore store_;
  std::vector<const Parameter*> parts_;
  std::vector<float> plain_;
  Tensor x_;
};

TEST_F(LinearTest, PartsOfSeveralFormatsStandOneAfterTheOther) {
  const Linear linear(parts_, Precision::kF32);
  EXPECT_EQ(linear.rows(), 96);
  EXPECT_EQ(linear.cols(), kCols);
  EXPECT_LT(worst(linear.forward({device_}, x_), 0, 96), 1e-4);
}

TEST_F(LinearTest, Int8RoundsOnlyTheInputOfBlockQuantisedParts) {
  const Tensor y = Linear(parts_, Precision::kInt8).forward({device_}, x_);
  EXPECT_LT(worst(y, 48, 64), 1e-4);  // the f32 part
  EXPECT_GT(worst(y, 0, 48), 1e-3);   // rounded indeed
  // |x| is below 5 and |w| below 5: a rounding of 5/254 of each of 96 inputs, all at their worst.
  EXPECT_LT(worst(y, 0, 96), 96 * 5 * 5.0 / 254);
}

TEST_F(LinearTest, Bf16RoundsTheInputAndWeightsOfOtherParts) {
  const Tensor y = Linear(parts_, Precision::kBf16).forward({device_}, x_);
  EXPECT_LT(worst(y, 0, 48), 1e-4);   // the block-quantised part is computed in f32
  EXPECT_GT(worst(y, 48, 64), 1e-3);  // rounded indeed
  EXPECT_LT(worst(y, 48, 64), 96 * 5 * 5.0 / 256);
}

TEST_F(LinearTest, SwigluIsThatOfTheProducts) {
  for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
    for (const std::vector<const Parameter*>& parts : {parts_, {parts_[0]}, {parts_[1]}}) {
      const Linear linear(parts, precision);
      const Tensor expected = ops::swiglu({device_}, linear.forward({device_}, x_));
      const Tensor y = linear.forward_swiglu({device_}, x_);
      ASSERT_EQ(y.shape(), expected.shape());
      for (int64_t i = 0; i < y.num_elements(); ++i) {
        ASSERT_EQ(y.data<float>()[i], expected.data<float>()[i]) << i;
      }
    }
  }
}

TEST_F(LinearTest, OnePartInF32IsTheOpThatTrains) {
  const Linear linear({parts_[1]}, Precision::kF32);
  const Tensor y = linear.forward({device_}, x_);
  Tape tape;
  const Context recording{device_, &tape};
  const Tensor recorded = linear.forward(recording, x_);
  EXPECT_NE(recorded.var(), 0u);
  for (int64_t i = 0; i < y.num_elements(); ++i) {
    EXPECT_EQ(y.data<float>()[i], recorded.data<float>()[i]) << i;
  }
}

using LinearDeathTest = LinearTest;
TEST_F(LinearDeathTest, GradientsThroughInt8AbortInsteadOfBeingWrong) {
  Tape tape;
  const Context recording{device_, &tape};
  const Tensor x = tape.watch(x_);
  EXPECT_DEATH(Linear({parts_[0]}, Precision::kInt8).forward(recording, x), "no gradient");
}

}  // namespace
}  // namespace minke
