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
    auto made = ParameterLoader(device_, file, store_, Precision::kF32)
                    .matrices({{"a", 48}, {"b", 16}, {"c", 32}}, kCols);
    EXPECT_TRUE(made) << made.error().message;
    parts_ = std::move(*made);
    x_ = Tensor::zeros(DType::kF32, {5, kCols});
    for (float& value : x_.span<float>()) value = static_cast<float>(random_.normal());
    norm_.cols = kCols;
    norm_.value = Tensor::zeros(DType::kF32, {kCols});
    for (float& value : norm_.value.span<float>()) value = static_cast<float>(random_.normal());
  }

  /// Calls check(parts, precision) for each precision with mixed parts, int8's and a plain one.
  template <class Check>
  void each_kind(const Check& check) const {
    for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
      for (const std::vector<const Parameter*>& parts : {parts_, {parts_[0]}, {parts_[1]}}) {
        check(parts, precision);
      }
    }
  }
  static void expect_same(const Tensor& found, const Tensor& expected) {
    ASSERT_EQ(found.shape(), expected.shape());
    for (int64_t i = 0; i < found.num_elements(); ++i) {
      ASSERT_EQ(found.data<float>()[i], expected.data<float>()[i]) << i;
    }
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
  Parameter norm_;
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
  each_kind([&](const auto& parts, Precision precision) {
    const Linear linear(parts, precision);
    expect_same(linear.forward_swiglu({device_}, x_),
                ops::swiglu({device_}, linear.forward({device_}, x_)));
  });
}

TEST_F(LinearTest, AnInputNormIsThatOfTheOp) {
  each_kind([&](const auto& parts, Precision precision) {
    const Tensor normed = ops::rms_norm({device_}, x_, norm_.value, 1e-5);
    const Linear plain(parts, precision);
    const Linear linear(parts, precision, {&norm_, 1e-5});
    expect_same(linear.forward({device_}, x_), plain.forward({device_}, normed));
    expect_same(linear.forward_swiglu({device_}, x_), plain.forward_swiglu({device_}, normed));
  });
}

TEST_F(LinearTest, AddingToAResidualIsThatOfTheOp) {
  each_kind([&](const auto& parts, Precision precision) {
    for (const int64_t num_rows : {1, 5}) {
      const Linear linear(parts, precision);
      const Tensor x = x_.rows(0, num_rows);
      Tensor residual = Tensor::zeros(DType::kF32, {num_rows, linear.rows()});
      for (float& value : residual.span<float>()) value = static_cast<float>(num_rows) / 3.0f;
      const Tensor expected = ops::add({device_}, residual, linear.forward({device_}, x));
      expect_same(linear.forward_add({device_}, x, residual), expected);
    }
  });
}

TEST_F(LinearTest, GroupsOfRowsAreForwardsOfTheirOwn) {
  each_kind([&](const auto& parts, Precision precision) {
    const Linear linear(parts, precision);
    const std::vector<const Linear*> linears = {&linear, &linear};
    const Tensor y = Linear::forward_grouped({device_}, x_, linears, {2, 3});
    expect_same(y.rows(0, 2), linear.forward({device_}, x_.rows(0, 2)));
    expect_same(y.rows(2, 5), linear.forward({device_}, x_.rows(2, 5)));
    expect_same(Linear::forward_swiglu_grouped({device_}, x_, linears, {2, 3}),
                linear.forward_swiglu({device_}, x_));
  });
}

TEST_F(LinearTest, OnePartInF32IsTheOpThatTrains) {
  const Linear linear({parts_[1]}, Precision::kF32);
  const Tensor y = linear.forward({device_}, x_);
  Tape tape;
  const Context recording{device_, &tape};
  const Tensor recorded = linear.forward(recording, x_);
  EXPECT_NE(recorded.var(), 0u);
  expect_same(recorded, y);
}

using LinearDeathTest = LinearTest;
TEST_F(LinearDeathTest, GradientsThroughInt8AbortInsteadOfBeingWrong) {
  Tape tape;
  const Context recording{device_, &tape};
  const Tensor x = tape.watch(x_);
  EXPECT_DEATH(Linear({parts_[0]}, Precision::kInt8).forward(recording, x), "no gradient");
  // The gradient of the norm's weight, which can be trained, would be lost as well.
  const Linear normed({parts_[0]}, Precision::kInt8, {&norm_, 1e-5});
  EXPECT_DEATH(normed.forward(recording, x_), "no gradient");
  EXPECT_DEATH(normed.forward_swiglu(recording, x_), "no gradient");
  EXPECT_DEATH(normed.forward_add(recording, x_, x_), "no gradient");
}

}  // namespace
}  // namespace minke
