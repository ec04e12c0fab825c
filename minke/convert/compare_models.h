#pragma once
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "minke/base/result.h"
#include "minke/convert/opened_model.h"

namespace minke {

/// How a tensor of one model differs from that of the same name in another.
struct TensorDifference {
  std::string name;
  std::string what;  ///< "only in the first", "[2, 3] and [3, 2]"; empty: the values
  double max_abs_difference = 0;
  /// sqrt(sum (a - b)^2 / sum a^2), a being the first model's; infinite where a is all zero, or
  /// where one of the two is not finite and the other is another number.
  double relative_error = 0;
};

/// What compare_models() found. All lists are empty for two files of one model.
struct ModelComparison {
  int64_t num_tensors = 0;                ///< that both have
  std::vector<TensorDifference> tensors;  ///< those that differ, in the first model's order
  std::vector<std::string> config;        ///< "rope_theta: 10000 and 500000"
  std::vector<std::string> tokenizer;

  /// Whether they are one model: no difference but of values whose relative error is at most
  /// `tolerance`.
  bool same(double tolerance) const;
  /// The most of any tensor.
  double relative_error_max() const;
};

/// How to compare.
struct CompareOptions {
  int num_threads = 1;
  bool with_tokenizer = true;
  /// Told the elements compared; false stops with kInterrupted. May be empty.
  std::function<bool(uint64_t done, uint64_t total)> progress;
};

/// Compares two models: each tensor of one with that of the same name in the other, both decoded;
/// what the configurations say (by what minke reads of them); and how the tokenizers cut texts of
/// many kinds, their ids with a meaning, and the chat templates. A GGUF file and a folder are
/// compared as GGUF, where tensors that are derived from the configuration, the number of MTP
/// modules that it names and a head that is tied do not count. Streams: memory for two rows, or
/// heads of MLA, a thread. The result does not depend on the number of threads. Errors:
/// plan_gguf()'s, or kInterrupted.
Result<ModelComparison> compare_models(const OpenedModel& a, const OpenedModel& b,
                                       const CompareOptions& options);

/// The same of paths (OpenedModel::open()).
Result<ModelComparison> compare_models(const std::filesystem::path& a,
                                       const std::filesystem::path& b,
                                       const CompareOptions& options);

}  // namespace minke
