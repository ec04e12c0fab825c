#pragma once
#include "minke/autograd/tape.h"
#include "minke/tensor/device.h"
#include "minke/tensor/tensor.h"

namespace minke {

/// What every op is given: where to compute and, when gradients are wanted, the tape to record on.
/// Without a tape nothing is recorded (NoGrad); the bits of the results are the same either way.
struct Context {
  const Device& device;
  Tape* tape = nullptr;
  /// Whether matrices make those inputs again in backward that cost little: norms and activations
  /// (recompute.h). What is computed has the same bits.
  bool remakes_inputs = false;

  /// A new tensor for an op's result.
  Tensor empty(DType dtype, const Shape& shape) const {
    return Tensor::empty(device.arena(), dtype, shape);
  }
  /// True when an op on these inputs must be recorded.
  template <class... Tensors>
  bool records(const Tensors&... inputs) const {
    return tape != nullptr && ((inputs.var() != 0) || ...);
  }
};

}  // namespace minke
