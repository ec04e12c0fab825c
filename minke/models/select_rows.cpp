#include "minke/models/select_rows.h"

namespace minke {

Tensor rows_with_logits(const Context& context, const Tensor& x, const ForwardBatch& batch) {
  if (batch.logit_rows.empty()) return x;
  MK_CHECK(!context.records(x), "gradients need the logits of all rows");
  return ops::gather_rows(context, x, batch.logit_rows);
}

}  // namespace minke
