#include <vector>

#include "minke/kernels/pointwise.h"
#include "minke/ops/ops.h"

namespace minke::ops {
namespace {

double element(const Tensor& values, int64_t index) {
  return values.dtype() == DType::kF64 ? values.data<double>()[index]
                                       : static_cast<double>(values.data<float>()[index]);
}

}  // namespace

Tensor cross_entropy(const Context& context, const Tensor& logits,
                     std::span<const int32_t> targets) {
  MK_CHECK(logits.shape().num_dims() == 2 && logits.size(0) == static_cast<int64_t>(targets.size()),
           "cross_entropy: logits {} with {} targets", logits.shape().text(), targets.size());
  const Tensor losses = context.empty(logits.dtype(), {logits.size(0)});  // [n]
  kernels::cross_entropy(context.device, logits.view(), targets.data(), losses.view());
  double sum = 0.0;
  int64_t num_counted = 0;
  for (int64_t i = 0; i < losses.num_elements(); ++i) {
    sum += element(losses, i);
    if (targets[i] >= 0) ++num_counted;
  }
  const double divisor = num_counted > 0 ? static_cast<double>(num_counted) : 1.0;
  const Tensor mean = context.empty(logits.dtype(), {1});
  if (mean.dtype() == DType::kF64) {
    *mean.data<double>() = sum / divisor;
  } else {
    *mean.data<float>() = static_cast<float>(sum / divisor);
  }
  if (!context.records(logits)) return mean;
  const Device& device = context.device;
  const std::vector<int32_t> kept(targets.begin(), targets.end());
  return context.tape->record(
      "cross_entropy", {logits.var()}, mean, [&device, logits, kept, divisor](const Tensor& dy) {
        const Tensor dx = Tensor::empty(device.arena(), logits.dtype(), logits.shape());
        kernels::cross_entropy_grad(device, logits.view(), kept.data(), element(dy, 0) / divisor,
                                    dx.view());
        return std::vector<Tensor>{dx};
      });
}

}  // namespace minke::ops
