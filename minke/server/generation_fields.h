#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "minke/engine/request.h"
#include "minke/server/fields.h"

namespace minke {

/// The fields that both completion endpoints share.
struct GenerationFields {
  std::string model;
  SamplingParams sampling;  ///< with a random seed unless the client gave one
  std::optional<int64_t> max_tokens;
  std::vector<std::string> stops;
  bool stream = false;
  bool include_usage = false;
  int64_t n = 1;
};

inline constexpr int64_t kAnswersMax = 8;  ///< n
inline constexpr size_t kStopsMax = 16;    ///< as DeepSeek
inline constexpr size_t kStopBytesMax = 1024;
inline constexpr int64_t kTopLogprobsMax = 20;

/// What a request's fields are read with: `vocab_size` bounds logit_bias's ids; `sampling` holds
/// where the request says nothing (but for the seed).
struct GenerationContext {
  int32_t vocab_size = 0;
  SamplingParams sampling;
};

/// Reads them, leaving the first error in `fields`.
GenerationFields read_generation_fields(Fields& fields, const GenerationContext& context);

/// The seed of answer `index` of a request: the first one is the request's own, so that n = 1 and
/// n = 8 agree on it.
uint64_t answer_seed(uint64_t seed, int index);

/// 64 bits that nobody can guess.
uint64_t random_bits();

}  // namespace minke
