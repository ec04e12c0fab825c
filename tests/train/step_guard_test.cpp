// Goal: steps that would do harm are named, ordinary ones never. Method: series with known means.
#include "minke/train/step_guard.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace minke {
namespace {

// 40 steps around a loss of 3 and a norm of 1, deviations 0.1.
StepGuard guard_after_40_steps(double deviations) {
  StepGuard guard(deviations);
  for (int i = 0; i < 40; ++i) {
    const double sign = i % 2 == 0 ? 0.1 : -0.1;
    guard.remember(3 + sign, 1 + sign);
  }
  return guard;
}

TEST(StepGuard, ObjectsToWhatIsNoNumber) {
  const StepGuard guard(0);
  EXPECT_EQ(guard.objection(std::nan(""), 1), "the loss is nan");
  EXPECT_EQ(guard.objection(1, std::numeric_limits<double>::infinity()),
            "the gradient norm is inf");
  EXPECT_EQ(guard.objection(1e30, 1e30), "");
}

TEST(StepGuard, ObjectsToSpikesAboveTheLastSteps) {
  const StepGuard guard = guard_after_40_steps(6);
  EXPECT_EQ(guard.objection(3.5, 1.5), "");
  EXPECT_EQ(guard.objection(-100, 0), "");
  EXPECT_NE(guard.objection(3.7, 1).find("the loss is 3.7, 7.0 deviations above"),
            std::string::npos);
  EXPECT_NE(guard.objection(3, 2).find("the gradient norm is 2"), std::string::npos);
  EXPECT_EQ(guard_after_40_steps(0).objection(1e9, 1e9), "");
}

TEST(StepGuard, SaysNothingBeforeItKnowsEnough) {
  StepGuard guard(6);
  for (int i = 0; i < 31; ++i) guard.remember(3, 1);
  EXPECT_EQ(guard.objection(300, 1), "");
  guard.remember(3, 1);
  EXPECT_NE(guard.objection(300, 1), "");
}

TEST(StepGuard, StateSurvives) {
  const StepGuard guard = guard_after_40_steps(6);
  StepGuard again(6);
  ASSERT_TRUE(again.set_state(*parse_json(guard.state().dump())));
  EXPECT_EQ(again.state().dump(), guard.state().dump());
  EXPECT_EQ(again.objection(3.7, 1), guard.objection(3.7, 1));
  EXPECT_FALSE(again.set_state(*parse_json(R"({"losses": 3})")));
}

}  // namespace
}  // namespace minke
