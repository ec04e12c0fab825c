#pragma once
#include <span>

#include "minke/tensor/device.h"
#include "minke/train/trained_tensor.h"

namespace minke {

/// The square root of the sum of squares of all gradients. Summed in f64 over chunks of fixed size,
/// so the bits do not depend on the threads. Undefined gradients count as zero.
double gradient_norm(const Device& device, std::span<const TrainedTensor> tensors);

/// What torch.nn.utils.clip_grad_norm_ multiplies gradients of that norm with, so that it becomes
/// at most `norm_max`: min(1, norm_max / (norm + 1e-6)). Not a number when the norm is none, which
/// must not pass unseen. An optimizer applies it while it reads the gradients
/// (OptimizerStep::gradient_scale), which saves a pass over them; the bits are the same.
double clip_scale(double norm, double norm_max);

/// Multiplies all gradients in place by clip_scale() of their norm. Returns the norm before.
double clip_gradient_norm(const Device& device, std::span<const TrainedTensor> tensors,
                          double norm_max);

}  // namespace minke
