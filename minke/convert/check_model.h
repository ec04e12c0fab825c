#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "minke/convert/opened_model.h"

namespace minke {

/// What check_model() found.
struct ModelCheck {
  int64_t num_tensors = 0;
  int64_t num_elements = 0;
  std::vector<std::string> errors;    ///< no model should have them
  std::vector<std::string> warnings;  ///< may be meant, though seldom: matrices of zeros
  std::vector<std::string> notes;     ///< ordinary, good to know: a vocabulary filled up
};

/// How to check.
struct CheckOptions {
  int num_threads = 1;
  /// Told the elements read; false stops with kInterrupted. May be empty.
  std::function<bool(uint64_t done, uint64_t total)> progress;
};

/// Decodes every tensor and looks for numbers that are not finite (errors, with the first one's row
/// and column; a block with a scale that is not finite has them) and matrices that are all zero;
/// then whether the tokenizer fits the embedding, its ids exist, and the chat template renders a
/// conversation into them. Memory for some rows a thread. The findings do not depend on the number
/// of threads. kInterrupted is the only Error.
Result<ModelCheck> check_model(const OpenedModel& model, const CheckOptions& options);

}  // namespace minke
