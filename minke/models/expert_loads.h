#pragma once
#include <cstdint>
#include <vector>

namespace minke {

class Model;

/// How the experts of one layer were used.
struct LayerLoads {
  int64_t layer = 0;          ///< as the file counts; those of MTP modules come after the others
  std::vector<int64_t> rows;  ///< that the gate sent to each expert, top_k of them for each token

  int64_t total() const;
  int64_t max() const;
  int64_t min() const;
  double mean() const;
  /// MaxVio = max / mean - 1 (arXiv 2408.15664, eq. 4): 0 with even loads; 0 before the first row.
  double max_violation() const;
  /// Experts that got no row.
  int64_t num_unused() const;
};

/// What a model's gates have chosen since it was loaded: each row that was computed counts,
/// whatever came of it (prompts, generated tokens, wrong guesses, training). Empty for a model
/// without experts. From any thread, also while the model runs.
std::vector<LayerLoads> expert_loads(const Model& model);

}  // namespace minke
