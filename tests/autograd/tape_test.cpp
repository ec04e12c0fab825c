// Goal: the tape adds up gradients correctly, never writes into memory that others hold, and lets
// go of what a node captured once it is passed. Method: tiny graphs with known derivatives.
#include "minke/autograd/tape.h"

#include <gtest/gtest.h>

#include "minke/autograd/context.h"
#include "minke/ops/ops.h"

namespace minke {
namespace {

class TapeTest : public ::testing::Test {
 protected:
  Device device_{1, false, CpuLevel::kRef};
  Tape tape_;
  Context context_{device_, &tape_};

  Tensor scalar(float value) {
    const Tensor x = Tensor::zeros(DType::kF32, {1});
    *x.data<float>() = value;
    return x;
  }
  // a * b by hand, recorded.
  Tensor multiply(const Tensor& a, const Tensor& b) {
    const Tensor y = scalar(*a.data<float>() * *b.data<float>());
    return tape_.record("multiply", {a.var(), b.var()}, y, [a, b, this](const Tensor& dy) {
      const float g = *dy.data<float>();
      return std::vector<Tensor>{scalar(g * *b.data<float>()), scalar(g * *a.data<float>())};
    });
  }
  float grad(const Tensor& leaf) { return *tape_.grad(leaf).data<float>(); }
};

TEST_F(TapeTest, GradientsOfAllUsesAddUp) {
  const Tensor x = tape_.watch(scalar(3.0f));
  const Tensor cube = multiply(multiply(x, x), x);
  tape_.backward(device_, ops::add(context_, cube, x));
  EXPECT_EQ(grad(x), 28.0f);  // 3 x^2 + 1
}

TEST_F(TapeTest, WatchingTheSameLeafGivesTheSameName) {
  const Tensor leaf = scalar(2.0f);
  EXPECT_EQ(tape_.watch(leaf).var(), tape_.watch(leaf).var());
  EXPECT_NE(tape_.watch(leaf).var(), tape_.watch(scalar(2.0f)).var());
}

TEST_F(TapeTest, SeedScalesAllGradients) {
  const Tensor x = tape_.watch(scalar(3.0f));
  tape_.backward(device_, multiply(x, x), 0.5);
  EXPECT_EQ(grad(x), 3.0f);
}

TEST_F(TapeTest, PassesAddUpAndAGradientHeldByTheCallerStaysAsItWas) {
  const Tensor x = tape_.watch(scalar(3.0f));
  tape_.backward(device_, ops::add(context_, multiply(x, x), x));
  const Tensor first = tape_.grad(x);
  EXPECT_EQ(*first.data<float>(), 7.0f);
  tape_.backward(device_, ops::add(context_, multiply(x, x), x));
  EXPECT_EQ(grad(x), 14.0f);
  EXPECT_EQ(*first.data<float>(), 7.0f);
}

TEST_F(TapeTest, SharedGradientsAreNotWrittenTo) {
  // add() returns one gradient tensor for both inputs; a gets another term on top, b must not.
  const Tensor a = tape_.watch(scalar(1.0f));
  const Tensor b = tape_.watch(scalar(2.0f));
  const Tensor more = multiply(a, tape_.watch(scalar(10.0f)));
  const Tensor sum = ops::add(context_, a, b);
  tape_.backward(device_, ops::add(context_, more, sum));
  EXPECT_EQ(grad(a), 11.0f);
  EXPECT_EQ(grad(b), 1.0f);
}

TEST_F(TapeTest, ValuesThatTheLossDoesNotDependOnGetNoGradient) {
  const Tensor x = tape_.watch(scalar(3.0f));
  const Tensor other = tape_.watch(scalar(4.0f));
  const Tensor loss = multiply(x, x);
  multiply(other, other);
  tape_.backward(device_, loss);
  EXPECT_FALSE(tape_.grad(other).defined());
  EXPECT_EQ(grad(x), 6.0f);
}

TEST_F(TapeTest, CapturesAreFreedOncePassed) {
  const auto token = std::make_shared<int>(0);
  const Tensor x = tape_.watch(scalar(3.0f));
  const Tensor y = tape_.record("hold", {x.var()}, scalar(1.0f),
                                [token](const Tensor& dy) { return std::vector<Tensor>{dy}; });
  const Tensor loss = tape_.record("look", {y.var()}, scalar(1.0f), [&token](const Tensor& dy) {
    EXPECT_EQ(token.use_count(), 2);  // "hold" has not been passed yet
    return std::vector<Tensor>{dy};
  });
  tape_.backward(device_, loss);
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(TapeTest, NothingIsRecordedWithoutATapeOrANamedInput) {
  const Context no_tape{device_, nullptr};
  const Tensor x = tape_.watch(scalar(3.0f));
  EXPECT_EQ(ops::add(no_tape, x, x).var(), 0u);
  EXPECT_EQ(ops::add(context_, scalar(1.0f), scalar(2.0f)).var(), 0u);
  EXPECT_NE(ops::add(context_, scalar(1.0f), x).var(), 0u);
}

TEST_F(TapeTest, ClearForgetsEverything) {
  const Tensor leaf = scalar(3.0f);
  tape_.backward(device_, multiply(tape_.watch(leaf), tape_.watch(leaf)));
  tape_.clear();
  const Tensor again = tape_.watch(leaf);
  EXPECT_FALSE(tape_.grad(again).defined());
  tape_.backward(device_, multiply(again, again));
  EXPECT_EQ(grad(again), 6.0f);
}

using TapeDeathTest = TapeTest;

TEST_F(TapeDeathTest, BackwardFromAValueOfNoTapeOrTwiceAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(tape_.backward(device_, scalar(1.0f)), "on this tape");
  const Tensor x = tape_.watch(scalar(3.0f));
  const Tensor loss = multiply(x, x);
  tape_.backward(device_, loss);
  EXPECT_DEATH(tape_.backward(device_, loss), "not recorded since");
}

}  // namespace
}  // namespace minke
