#pragma once
#include <string>

#include "minke/train/optimizer.h"

namespace minke {

/// "KIND.NAME": how an optimizer names what it remembers of a tensor, by its place where the tensor
/// has no name.
std::string state_name(const char* kind, const std::string& name, size_t index);

/// A copy of the entry of that name. kCorrupt when there is none, or of another format or shape.
Result<Tensor> copied_entry(const OptimizerState& state, const std::string& name, DType dtype,
                            const Shape& shape);

}  // namespace minke
