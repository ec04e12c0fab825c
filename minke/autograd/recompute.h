#pragma once
#include <functional>

#include "minke/autograd/context.h"

namespace minke {

/// Computes a tensor by ops on the Context that it is given. Called again in backward, so what it
/// captures must give the same then; it captures what the ops read, which is all that is kept.
using RecomputedFn = std::function<Tensor(const Context& context)>;

/// fn(context), keeping for backward only what `fn` has captured (Chen et al., arXiv 1604.06174):
/// computed without the tape, and once more on it when backward comes to it, whose walk then goes
/// on with the steps just recorded. Gradients have the bits that they have without it, since the
/// same steps are passed in the same order. Without a tape it is fn(context).
Tensor recompute(const Context& context, RecomputedFn fn);

/// The same of y, which has been computed without the tape: `record` puts on it what gives y's
/// gradient to what y is made of. The values of what it returns are not read, its shape is y's; so
/// the last step need not be computed again.
Tensor recompute_of(const Context& context, const Tensor& y, RecomputedFn record);

}  // namespace minke
