#pragma once
#include "minke/models/model.h"

namespace minke {

/// The rows of x whose logits the batch wants. Under a tape they must be all.
Tensor rows_with_logits(const Context& context, const Tensor& x, const ForwardBatch& batch);

}  // namespace minke
