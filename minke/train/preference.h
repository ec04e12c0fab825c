#pragma once
#include <string>

#include "minke/train/dpo.h"
#include "minke/train/fine_tuning.h"
#include "minke/train/training_config.h"

namespace minke {

/// Every setting of preference training: flags, keys of a recipe and the run's config.json.
struct PreferenceConfig {
  FineTuningConfig model;
  std::string data;
  int64_t seq = 1024;
  DpoConfig dpo;
  TrainingConfig training;

  PreferenceConfig() {
    training.schedule.learning_rate = 5e-6;
    training.optimizer.weight_decay = 0;
  }

  template <class Visitor>
  void visit(Visitor& visitor) {
    model.visit(visitor);
    visitor("data", data, "pairs of chosen and rejected answers that minke data prepare made");
    visitor("seq", seq, 1.0, 1e9, "the most tokens of an answer with its prompt");
    visitor("beta", dpo.beta, 1e-6, 1e6, "how dear it is to leave the model as the run began");
    visitor("label_smoothing", dpo.label_smoothing, 0.0, 0.499999,
            "share of pairs that are taken for turned round");
    training.visit(visitor);
  }
};

}  // namespace minke
