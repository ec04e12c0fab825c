#include "minke/nn/lora.h"

#include "minke/nn/parameter.h"

namespace minke {

Tensor Lora::add_to(const Context& context, const Tensor& y, const Tensor& x,
                    int64_t first_row) const {
  const Tensor low = ops::linear(context, x, a->weight(context));       // [m, rank]
  const Tensor addend = ops::linear(context, low, b->weight(context));  // [m, rows]
  return ops::add_block(context, y, addend, first_row, row, scale);
}

}  // namespace minke
