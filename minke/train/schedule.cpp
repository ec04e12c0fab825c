#include "minke/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "minke/train/word.h"

namespace minke {
namespace {

// From 1 down to 0 while x goes from 0 to 1.
double half_cosine(double x) { return 0.5 * (1.0 + std::cos(std::numbers::pi * x)); }

// DeepSeek-V3's rate as a part of its peak; `at` is the part of the run that is done.
double deepseek_v3_fraction(double at) {
  constexpr double kTokens = 14.8;  // trillions, as are the ends of the parts
  constexpr double kConstantEnd = 10.0 / kTokens, kCosineEnd = 14.3 / kTokens;
  constexpr double kSecondEnd = 14.633 / kTokens;
  constexpr double kSecond = 2.2e-5 / 2.2e-4, kLast = 7.3e-6 / 2.2e-4;
  if (at < kConstantEnd) return 1.0;
  if (at < kCosineEnd) {
    return kSecond +
           (1.0 - kSecond) * half_cosine((at - kConstantEnd) / (kCosineEnd - kConstantEnd));
  }
  return at < kSecondEnd ? kSecond : kLast;
}

}  // namespace

Result<Schedule> Schedule::create(const ScheduleConfig& config, int64_t num_steps) {
  static constexpr Word<Kind> kKinds[] = {{"constant", Kind::kConstant},
                                          {"linear", Kind::kLinear},
                                          {"cosine", Kind::kCosine},
                                          {"wsd", Kind::kWsd},
                                          {"deepseek_v3", Kind::kDeepseekV3}};
  static constexpr Word<Decay> kDecays[] = {
      {"linear", Decay::kLinear}, {"cosine", Decay::kCosine}, {"sqrt", Decay::kSqrt}};
  MK_ASSIGN(const Kind kind, find_word("schedule", config.schedule, kKinds));
  MK_ASSIGN(const Decay decay, find_word("decay_shape", config.decay_shape, kDecays));
  if (num_steps < 1)
    return fail(ErrorCode::kUsage, "a run of {} steps has none to take", num_steps);
  if (config.warmup_steps > num_steps) {
    return fail(ErrorCode::kUsage,
                "warmup_steps is {}, but the run has {} steps: warm up for at most that many",
                config.warmup_steps, num_steps);
  }
  return Schedule(config, num_steps, kind, decay);
}

double Schedule::rate(int64_t step) const {
  return config_.learning_rate * fraction(std::clamp<int64_t>(step, 0, num_steps_ - 1));
}

double Schedule::fraction(int64_t step) const {
  const auto t = static_cast<double>(step);
  const auto n = static_cast<double>(num_steps_);
  const auto warmup = static_cast<double>(config_.warmup_steps);
  if (t < warmup) return (t + 1.0) / (warmup + 1.0);
  const double end = config_.final_fraction;
  if (kind_ == Kind::kConstant) return 1.0;
  if (kind_ == Kind::kDeepseekV3) return deepseek_v3_fraction(t / n);
  if (kind_ == Kind::kLinear) return 1.0 - (1.0 - end) * (t - warmup) / (n - warmup);
  if (kind_ == Kind::kCosine) return end + (1.0 - end) * half_cosine((t - warmup) / (n - warmup));
  const double decay_steps = config_.decay_fraction * n;
  const double q = decay_steps > 0.0 ? (t - n + decay_steps) / decay_steps : 0.0;
  if (q <= 0.0) return 1.0;
  const double left = decay_ == Decay::kLinear   ? 1.0 - q
                      : decay_ == Decay::kCosine ? half_cosine(q)
                                                 : 1.0 - std::sqrt(q);
  return end + (1.0 - end) * left;
}

}  // namespace minke
