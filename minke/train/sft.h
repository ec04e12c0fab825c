#pragma once
#include <string>

#include "minke/train/fine_tuning.h"
#include "minke/train/training_config.h"

namespace minke {

/// Every setting of supervised fine-tuning: flags, keys of a recipe and the run's config.json.
struct SftConfig {
  FineTuningConfig model;
  std::string data;
  std::string rows;
  int64_t seq = 1024;
  bool pack = true;
  TrainingConfig training;

  SftConfig() {
    training.schedule.learning_rate = 2e-4;
    training.optimizer.weight_decay = 0;
  }

  template <class Visitor>
  void visit(Visitor& visitor) {
    model.visit(visitor);
    visitor("data", data, "examples that minke data prepare made: answers are learnt, not prompts");
    visitor("rows", rows,
            "in place of data: JSON lines of input_ids and labels (-100: not to be learnt); row r "
            "of step t is line t * batch + r. Then, unless told otherwise, the rate is constant, "
            "spikes are not skipped and nothing is written");
    visitor("seq", seq, 1.0, 1e9, "the most tokens of a row; longer examples lose their ends");
    visitor("pack", pack, "several examples in a row where they fit, kept apart by attention");
    training.visit(visitor);
  }
};

}  // namespace minke
