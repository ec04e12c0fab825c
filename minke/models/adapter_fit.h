#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "minke/models/model.h"

namespace minke {

/// The shape of a matrix of the model by its GGUF name; none where `file` has no such matrix, or
/// one that is not adapted. kv_b counts as one where GGUF has it in parts.
std::optional<Shape> adapted_shape(const std::string& name, const WeightFile& file,
                                   const ModelConfig& config);

/// Whether GGUF has the rows of each head in neighbouring pairs, Hugging Face in halves: queries
/// and keys of its Llama.
bool has_paired_rows(std::string_view name, const ModelConfig& config);

/// Reorders the rows of B from Hugging Face's halves to GGUF's pairs, and back.
void pair_rows(LoraDelta& delta, int64_t head_dim);
void unpair_rows(LoraDelta& delta, int64_t head_dim);

}  // namespace minke
