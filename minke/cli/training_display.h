#pragma once
#include <functional>

#include "minke/cli/console.h"
#include "minke/cli/interrupts.h"
#include "minke/train/training_loop.h"

namespace minke {

/// Shows a training: a line of JSON a step on console.out, or for people a line on console.err that
/// is drawn anew on a terminal, and elsewhere one after the first step and every 10 s.
class TrainingDisplay {
 public:
  struct Options {
    bool json = false;
    int64_t steps = 0;
  };
  TrainingDisplay(const Console& console, const Options& options)
      : console_(console), options_(options) {}
  ~TrainingDisplay() { clear(); }
  TrainingDisplay(const TrainingDisplay&) = delete;
  TrainingDisplay& operator=(const TrainingDisplay&) = delete;

  /// The display and the interrupts must outlive them.
  TrainingHooks hooks(const Interrupts& interrupts);
  /// Ends a line that is drawn anew.
  void clear();

 private:
  void step(const StepNews& news);
  void evaluation(int64_t steps_done, const Evaluation& result);
  void note(const std::string& text);
  std::string line(const StepNews& news) const;

  const Console& console_;
  Options options_;
  bool drawn_ = false;
  double told_at_ = 0;
};

}  // namespace minke
