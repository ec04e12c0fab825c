#pragma once
#include <cstdint>
#include <string>

#include "minke/base/result.h"

namespace minke {

/// How the learning rate runs over the steps. With W = warmup_steps, N steps and t from 0, all
/// begin with peak * (t + 1) / (W + 1) for t < W (so that no step is wasted at 0), then, with r =
/// (t - W) / (N - W) and e = final_fraction:
///
///   constant       peak
///   linear         peak * (1 - (1 - e) r)
///   cosine         peak * (e + (1 - e) (1 + cos(pi r)) / 2)
///   wsd            peak until the last D = decay_fraction * N steps, in which, with q = (t - N +
///                  D) / D, the rate falls as decay_shape says: linear 1 - q, cosine, or sqrt:
///                  1 - sqrt(q) (Haegele et al. 2024, arXiv 2405.18392), likewise down to e
///   deepseek_v3    DeepSeek-V3's (section 4.2), in parts of N (14.8T tokens there): peak until
///                  10 / 14.8, a cosine to peak / 10 until 14.3 / 14.8, that until 14.633 / 14.8,
///                  then peak * 7.3 / 220; decay_fraction, decay_shape and e are not read
///
/// These are PyTorch's and transformers' formulas, but for their first step at rate 0.
struct ScheduleConfig {
  std::string schedule = "cosine";
  double learning_rate = 3e-4;  ///< peak
  int64_t warmup_steps = 0;
  double final_fraction = 0.1;
  double decay_fraction = 0.2;
  std::string decay_shape = "sqrt";

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor("schedule", schedule,
            "how the learning rate runs: constant, linear, cosine, wsd or deepseek_v3");
    visitor("lr", learning_rate, 0.0, 1e3, "the highest learning rate");
    visitor("warmup_steps", warmup_steps, 0.0, 1e12, "steps over which the rate rises to it");
    visitor("final_fraction", final_fraction, 0.0, 1.0,
            "linear, cosine, wsd: the part of the rate that is left at the end");
    visitor("decay_fraction", decay_fraction, 0.0, 1.0, "wsd: the part of all steps that decays");
    visitor("decay_shape", decay_shape, "wsd: how it decays: linear, cosine or sqrt");
  }
};

/// A ScheduleConfig whose words are known, over a number of steps.
class Schedule {
 public:
  /// kUsage for an unknown word (with the nearest known one), fewer than one step, or a warm-up
  /// that is longer than the run.
  static Result<Schedule> create(const ScheduleConfig& config, int64_t num_steps);

  /// The rate of step `step` from 0; steps past the last one have the last one's.
  double rate(int64_t step) const;

 private:
  enum class Kind { kConstant, kLinear, kCosine, kWsd, kDeepseekV3 };
  enum class Decay { kLinear, kCosine, kSqrt };
  Schedule(const ScheduleConfig& config, int64_t num_steps, Kind kind, Decay decay)
      : config_(config), num_steps_(num_steps), kind_(kind), decay_(decay) {}
  double fraction(int64_t step) const;

  ScheduleConfig config_;
  int64_t num_steps_;
  Kind kind_;
  Decay decay_;
};

}  // namespace minke
