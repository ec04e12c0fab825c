#pragma once
#include "minke/tensor/device.h"
#include "minke/tensor/tensor.h"

namespace minke {

/// The nearly orthogonal matrix of Muon (kellerjordan.github.io/posts/muon), in place: f32 X [n,
/// m], divided by its Frobenius norm (but at least by 1e-7), then five Newton-Schulz steps
///
///   A = X X^T;   X = 3.4445 X + (-4.775 A + 2.0315 A A) X
///
/// which take all singular values near 1 (0.7 to 1.2). Fewest flops for n <= m. The bits do not
/// depend on the threads.
void orthogonalize(const Device& device, const Tensor& x);

}  // namespace minke
