#pragma once
#include <filesystem>
#include <span>
#include <vector>

#include "minke/base/json.h"
#include "minke/convert/planned_tensor.h"
#include "minke/models/model.h"

namespace minke {

/// Plans the parameters of a model in memory, all f32 and without adapters (MK_CHECK), as Hugging
/// Face's checkpoints have them: each in its own tensor, rows in the order that transformers
/// expects whichever file they came from. What is written and loaded again has the same bits.
/// `values` are in place of the parameters' own, one for each of the store and laid out alike (an
/// average of weights); empty: their own. Model and values must outlive the plan and stay as they
/// are while it is written; nothing is copied.
std::vector<PlannedTensor> plan_parameters(const Model& model, std::span<const Tensor> values = {});

/// Writes config.json (`config_json`, which says f32 then) and model.safetensors of the model, or
/// shards of it, into a folder that exists. Errors are AtomicFile's; kInterrupted.
Result<void> write_parameters(const Model& model, Json config_json,
                              const std::filesystem::path& folder,
                              const WriteTensorsOptions& options,
                              std::span<const Tensor> values = {});

}  // namespace minke
