#pragma once
#include <string>

#include "minke/train/training_config.h"

namespace minke {

/// Every setting of pretraining: flags, keys of a recipe and the run's config.json.
struct PretrainConfig {
  std::string init;
  std::string tokenizer;
  std::string data;
  std::string ids;
  int64_t seq = 512;
  bool sampled = false;
  bool separate_documents = false;
  TrainingConfig training;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor("init", init,
            "the model to begin with: a name, a .gguf file or a folder; or a config.json, for a "
            "new one by the seed");
    visitor("tokenizer", tokenizer,
            "of a new model: a folder with a tokenizer.json, put into its checkpoints");
    visitor("data", data, "what minke data prepare made");
    visitor("ids", ids,
            "in place of data: a file of token ids as text; row r of step t reads seq + 1 of them "
            "from (t * batch + r) * seq on. Unless told otherwise the rate is constant then, "
            "weights do not decay, only steps that are no numbers are skipped, and nothing is "
            "written");
    visitor("seq", seq, 1.0, 1e9, "tokens of a row");
    visitor("sampled", sampled,
            "rows begin anywhere in the data, drawn with replacement, as nanoGPT does");
    visitor("separate_documents", separate_documents,
            "attention and positions begin anew at each document");
    training.visit(visitor);
  }
};

}  // namespace minke
