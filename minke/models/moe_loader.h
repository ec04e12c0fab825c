#pragma once
#include <string>

#include "minke/models/model.h"
#include "minke/nn/moe.h"

namespace minke {

/// Loads what a layer's tokens choose from, shaped as config.moe says: the gate, its bias if it has
/// one, and the routed experts. The tensors' names begin with `prefix`, "blk.3." say. Errors: those
/// of ParameterLoader.
Result<Moe> load_moe(ParameterLoader& loader, const std::string& prefix, const ModelConfig& config,
                     Precision precision);

}  // namespace minke
