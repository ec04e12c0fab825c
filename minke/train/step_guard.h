#pragma once
#include <deque>
#include <string>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// Says which steps should not change the weights: those whose loss or gradient norm is no number,
/// or more than `deviations` standard deviations above the mean of the last 128 steps that were
/// taken (as llm.c's outlier detector; 0: never for that reason). It asks for 32 steps before it
/// compares, and takes a deviation for at least a hundredth of the mean, since a loss that hardly
/// moves is no reason to fear its next value.
class StepGuard {
 public:
  explicit StepGuard(double deviations) : deviations_(deviations) {}

  /// Why not; empty when the step can be taken.
  std::string objection(double loss, double grad_norm) const;
  /// A step that was taken.
  void remember(double loss, double grad_norm);

  /// What it remembers, and back: kCorrupt for what is no state.
  Json state() const;
  Result<void> set_state(const Json& state);

 private:
  double deviations_;
  std::deque<double> losses_;
  std::deque<double> norms_;
};

}  // namespace minke
