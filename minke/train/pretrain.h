#pragma once
#include <string>

#include "minke/train/training_config.h"

namespace minke {

/// Every setting of pretraining: flags, keys of a recipe and the run's config.json.
struct PretrainConfig {
  std::string init;
  std::string ids;
  int64_t seq = 512;
  TrainingConfig training;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor("init", init, "the model to begin with: a name, a .gguf file or a folder");
    visitor("ids", ids,
            "a file of token ids as text; row r of step t reads seq + 1 of them from (t * batch + "
            "r) * seq on. Unless told otherwise the rate is constant then, weights do not decay "
            "and only steps that are no numbers are skipped");
    visitor("seq", seq, 1.0, 1e9, "tokens of a row");
    training.visit(visitor);
  }
};

}  // namespace minke
