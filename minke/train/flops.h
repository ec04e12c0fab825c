#pragma once
#include "minke/models/model.h"
#include "minke/train/trained_tensor.h"

namespace minke {

/// Floating-point operations of a training step for one token of a sequence of `seq` tokens: of
/// each matrix that it is multiplied with (of experts as many as a token goes to) 2 a weight
/// forward and 2 backward, and 2 more where the matrix itself is trained; and those of causal
/// attention, whose rows see seq / 2 keys in the mean. As usual for MFU, recomputation and all that
/// is no product is not counted.
double training_flops_per_token(const Model& model, std::span<const TrainedTensor> trained,
                                int64_t seq);

}  // namespace minke
