// Goal: each schedule has the rates of its formula, and a setting that makes no sense is refused.
// Method: the formula worked out at the ends of each part.
#include "minke/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace minke {
namespace {

Schedule schedule_of(const ScheduleConfig& config, int64_t num_steps) {
  auto schedule = Schedule::create(config, num_steps);
  EXPECT_TRUE(schedule) << schedule.error().message;
  return *schedule;
}

TEST(ScheduleTest, RisesToItsPeakAndNeverWastesAStepAtZero) {
  for (const char* name : {"constant", "linear", "cosine", "wsd", "deepseek_v3"}) {
    const Schedule schedule =
        schedule_of({.schedule = name, .learning_rate = 2.0, .warmup_steps = 3}, 40);
    EXPECT_DOUBLE_EQ(schedule.rate(0), 0.5) << name;
    EXPECT_DOUBLE_EQ(schedule.rate(2), 1.5) << name;
    EXPECT_DOUBLE_EQ(schedule.rate(3), 2.0) << name;
    for (int64_t step = 0; step < 40; ++step) EXPECT_GT(schedule.rate(step), 0.0) << name << step;
    EXPECT_EQ(schedule.rate(39), schedule.rate(1000)) << name;
  }
}

TEST(ScheduleTest, DeepseekV3sHasTheRatesOfThePaper) {
  const Schedule schedule =
      schedule_of({.schedule = "deepseek_v3", .learning_rate = 2.2e-4, .warmup_steps = 10}, 14800);
  EXPECT_DOUBLE_EQ(schedule.rate(9999), 2.2e-4);
  EXPECT_NEAR(schedule.rate(12150), (2.2e-4 + 2.2e-5) / 2, 1e-12);  // halfway down
  EXPECT_DOUBLE_EQ(schedule.rate(14300), 2.2e-5);
  EXPECT_DOUBLE_EQ(schedule.rate(14632), 2.2e-5);
  EXPECT_DOUBLE_EQ(schedule.rate(14633), 7.3e-6);
}

TEST(ScheduleTest, WsdDecaysOverItsLastPartOnly) {
  const ScheduleConfig config{
      .schedule = "wsd", .learning_rate = 1.0, .final_fraction = 0.0, .decay_fraction = 0.25};
  const Schedule schedule = schedule_of(config, 100);
  EXPECT_EQ(schedule.rate(75), 1.0);
  EXPECT_NEAR(schedule.rate(76), 1.0 - std::sqrt(1.0 / 25), 1e-12);
  EXPECT_NEAR(schedule.rate(99), 1.0 - std::sqrt(24.0 / 25), 1e-12);
}

TEST(ScheduleTest, ImpossibleSettingsAreErrorsThatNameTheChoice) {
  const auto refused = [](const ScheduleConfig& config, int64_t num_steps) {
    const auto schedule = Schedule::create(config, num_steps);
    EXPECT_FALSE(schedule);
    return schedule ? "" : schedule.error().message;
  };
  EXPECT_EQ(refused({.schedule = "cosin"}, 10),
            "schedule is 'cosin' when it should be one of constant, linear, cosine, wsd, "
            "deepseek_v3");
  EXPECT_NE(refused({.decay_shape = "step"}, 10).find("linear, cosine, sqrt"), std::string::npos);
  EXPECT_NE(refused({.warmup_steps = 11}, 10).find("the run has 10 steps"), std::string::npos);
  EXPECT_NE(refused({}, 0), "");
}

}  // namespace
}  // namespace minke
