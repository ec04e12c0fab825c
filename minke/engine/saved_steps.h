#pragma once
#include <algorithm>

namespace minke {

/// Steps that guessing has saved, less what it has cost, in steps that compute one token. Only what
/// was saved may be lost again, and a hundredth of all steps.
class SavedSteps {
 public:
  /// In steps. A row more costs 0.17 to 0.31 of one (docs/log.md).
  static constexpr double kRowCost = 0.25;
  static constexpr double kMax = 4.0;  ///< so that a text that changes is noticed soon

  /// `first`: what may be lost before anything is known.
  explicit SavedSteps(double first) : count_(first) {}
  double count() const { return count_; }
  /// A step more was made.
  void earn() { add(kLossShare); }
  /// `saved` is below 0 where something was lost.
  void add(double saved) { count_ = std::min(count_ + saved, kMax); }

 private:
  static constexpr double kLossShare = 0.01;
  double count_;
};

}  // namespace minke
