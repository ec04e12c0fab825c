#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/format/gguf.h"
#include "minke/models/model_file.h"

namespace minke {

/// Activations, logits, thread stacks and the tokenizer, beside weights and cache: SmolLM2-135M's
/// `minke run` held 21 MB more than its file, and a tokenizer of 150,000 tokens is another 20 MB.
inline constexpr int64_t kWorkBytes = 40'000'000;

/// What list and show tell of a model without reading its weights.
struct ModelFacts {
  std::string architecture;       ///< GGUF's general.architecture or model_type, or "unknown"
  std::string format;             ///< of most bytes of its weights, e.g. "Q4_1"
  int64_t parameters = 0;         ///< weights
  int64_t active_parameters = 0;  ///< of these, those that a token meets: not all experts
  int64_t expert_layers = 0;      ///< layers with experts, of which `moe` says how many
  MoeConfig moe;
  int64_t context_tokens = 0;  ///< the most that the model was made for; 0: the file does not tell
  int64_t weight_bytes = 0;
  /// Of the KV cache at the default context; 0 for an architecture that minke cannot run.
  int64_t cache_bytes = 0;
  int64_t default_context_tokens = 0;
  /// Weights, cache and what a step needs besides; 0 for an architecture that minke cannot run.
  int64_t memory_bytes = 0;
  int64_t available_bytes = 0;  ///< of memory now, see available_memory(); 0: unknown

  bool is_known() const { return memory_bytes > 0; }
  bool fits() const { return available_bytes == 0 || memory_bytes <= available_bytes; }
  /// Adds format, parameters, context_tokens, memory_bytes, available_bytes, fits; of models with
  /// experts also active_parameters and experts.
  void add_to(Json& document) const;
};

/// The facts of an open GGUF file, whatever its architecture.
ModelFacts model_facts(const GgufFile& file);
/// Those of a model that minke can run.
ModelFacts model_facts(const ModelFile& file);
/// Those of a GGUF file or a folder by its path; the errors are those of opening it.
Result<ModelFacts> model_facts(const std::filesystem::path& path);

/// "134.5M", "6.74B": a number of parameters for people.
std::string count_text(int64_t count);

}  // namespace minke
