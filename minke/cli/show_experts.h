#pragma once
#include <string>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/cli/console.h"

namespace minke {

/// `minke show MODEL --experts`: what it runs through the model, and how it prints.
struct ShowExperts {
  std::string model;      ///< as load_model_for() takes it
  std::string text_path;  ///< a text; empty: the built-in sample
  std::string ids;        ///< token ids in place of a text, also for models without tokenizer
  bool json = false;

  /// Runs the text in windows of 512 tokens and prints, layer by layer, what the gates chose.
  /// Errors: those of the loader, and kUsage for a model without experts, a text without tokens,
  /// and both a text and ids.
  Result<void> run(const Console& console) const;
};

}  // namespace minke
