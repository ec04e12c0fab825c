#include "minke/engine/engine_config.h"

#include <algorithm>

#include "minke/models/model.h"

namespace minke {

int64_t EngineConfig::cache_tokens() const {
  if (kv_tokens > 0) return kv_tokens;
  return int64_t{context_tokens} * std::min(sequences_max, 4);
}

Result<void> EngineConfig::check(const ModelConfig& model) const {
  const int64_t trained = model.max_position_embeddings;
  if (context_tokens < 2 || context_tokens > trained) {
    return fail(ErrorCode::kWillNotFit,
                "a context of {} tokens, but the model was made for 2 to {}; lower --ctx",
                context_tokens, trained);
  }
  if (sequences_max < 1 || chunk_tokens < sequences_max) {
    return fail(
        ErrorCode::kUsage,
        "{} sequences and chunks of {} tokens: at least 1, and a chunk has a token for each",
        sequences_max, chunk_tokens);
  }
  if (num_tokens < 0 || num_tokens > model.vocab_size) {
    return fail(ErrorCode::kUsage, "{} tokens of a vocabulary of {}", num_tokens, model.vocab_size);
  }
  if (draft_tokens_max < 0) {
    return fail(ErrorCode::kUsage, "{} draft tokens, expected 0 or more", draft_tokens_max);
  }
  if (cache_tokens() < context_tokens) {
    return fail(ErrorCode::kWillNotFit, "a KV cache of {} tokens cannot hold one context of {}",
                cache_tokens(), context_tokens);
  }
  if (kv_dtype != DType::kF32 && kv_dtype != DType::kF16 && kv_dtype != DType::kI8) {
    return fail(ErrorCode::kUsage, "the KV cache can be f32, f16 or i8, not {}",
                dtype_info(kv_dtype).name);
  }
  return {};
}

}  // namespace minke
