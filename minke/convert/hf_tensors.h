#pragma once
#include <optional>
#include <vector>

#include "minke/convert/planned_tensor.h"
#include "minke/format/gguf.h"
#include "minke/models/model.h"

namespace minke {

/// Whether a tensor of Hugging Face's keeps its format whatever is wanted: rounding the bias of a
/// router changes which experts are chosen.
bool keeps_format(std::string_view hf_name);

/// Where GGUF's rows of Llama's queries and keys, in neighbouring pairs (2i, 2i + 1) of each head,
/// have row `row` of Hugging Face's halves (i, i + head_dim / 2).
int64_t paired_row(int64_t row, int64_t head_dim);

/// Plans the tensors of a GGUF file as Hugging Face's checkpoints have them: what plan_gguf() does,
/// undone. Without a type, block formats become bf16 and the rest stays as it is. rope_freqs.weight
/// is left to the config. `file` must outlive the plan. kUsage for a tensor that has no name there,
/// kCorrupt for an impossible shape.
Result<std::vector<PlannedTensor>> plan_hf(const GgufFile& file, const ModelConfig& config,
                                           std::optional<DType> type);

}  // namespace minke
