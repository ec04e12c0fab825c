#pragma once
#include <functional>
#include <span>
#include <string>

#include "minke/autograd/context.h"

namespace minke {

/// A function of f64 tensors to one number: it is given a Context and the inputs (named on the
/// context's tape where it has one) and returns a scalar tensor.
using ScalarFn = std::function<Tensor(const Context& context, std::span<const Tensor> inputs)>;

/// Compares the tape's gradients of fn with central differences,
///   (fn(x + h e) - fn(x - h e)) / 2h,  h = 1e-5 max(1, |x|),
/// for every element of every input (f64, contiguous; changed during the call and put back).
/// Returns an empty string if all |difference| <= tolerance * max(1, |expected|), else which
/// element of which input is wrong and by how much. Cost: two forwards an element.
std::string gradcheck(const Device& device, const ScalarFn& fn, std::span<const Tensor> inputs,
                      double tolerance = 1e-6);

}  // namespace minke
