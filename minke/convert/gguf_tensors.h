#pragma once
#include <optional>
#include <string>
#include <vector>

#include "minke/convert/planned_tensor.h"
#include "minke/format/safetensors.h"
#include "minke/models/model.h"

namespace minke {

/// The format of a tensor in a GGUF file of llama.cpp's conventions: vectors, norms and the gates
/// of experts are f32, whatever `type` says; without a type the rest stays as it is.
DType gguf_dtype(std::string_view gguf_name, const Shape& shape, DType source,
                 std::optional<DType> type);

/// What a checkpoint of Hugging Face's becomes in GGUF.
struct GgufTensors {
  std::vector<PlannedTensor> tensors;
  std::vector<std::string> left_out;  ///< names of tensors that the model does not use
};

/// A sentence about tensors that were left out, for users.
std::string left_out_note(const std::vector<std::string>& names);

/// Plans the tensors as llama.cpp reads them: GGUF's names; the experts of a layer in one tensor
/// [experts, rows, cols]; Llama's rows of queries and keys in neighbouring pairs; DeepSeek's kv_b
/// in two, k_b [heads, rank, nope] (transposed) and v_b [heads, v, rank]; the factors of llama3's
/// rope scaling as rope_freqs.weight. Layers beyond the model's and its MTP modules', and a head
/// that is tied, are left out. `file` must outlive the plan. kUsage for a tensor that has no name
/// or format in GGUF, kCorrupt for a missing expert or an impossible shape.
Result<GgufTensors> plan_gguf(const SafetensorsFile& file, const ModelConfig& config,
                              std::optional<DType> type);

}  // namespace minke
