#pragma once
#include <cstdint>

#include "minke/base/result.h"
#include "minke/dtype/dtype.h"

namespace minke {

struct ModelConfig;

/// Limits of an engine. Every queue and batch is bounded.
struct EngineConfig {
  int context_tokens = 4096;  ///< most tokens of one sequence, prompt and answer together
  int64_t kv_tokens = 0;      ///< tokens that the cache holds for all sequences; 0: sequences_max
                              ///< contexts, but at most 4 (pages are touched only when used)
  int sequences_max = 16;     ///< sequences decoded together
  int chunk_tokens = 512;     ///< most tokens in one forward (prompts are read in such chunks)
  int waiting_max = 1024;     ///< requests that may wait; more are refused
  DType kv_dtype = DType::kF16;  ///< f32, f16, or i8 with scales (KvPages)
  int draft_tokens_max = 3;      ///< most tokens guessed ahead in a step (PromptLookup, and
                                 ///< MtpDrafter if the model has loaded a module), which has one
                                 ///< row more than these at most if it has any; 0: none
  int64_t num_tokens = 0;        ///< ids below this are read and drawn; 0: all rows of the
                                 ///< embedding, which may have some that no token uses
  bool prefix_cache = true;      ///< keep the pages of ended requests for others that begin alike

  /// Tokens that the cache holds, see kv_tokens.
  int64_t cache_tokens() const;
  /// kWillNotFit or kUsage when an engine cannot work so with the model, e.g. for a context longer
  /// than the model's.
  Result<void> check(const ModelConfig& model) const;
};

}  // namespace minke
