#include <algorithm>
#include <vector>

#include "minke/kernels/pointwise.h"
#include "minke/ops/ops.h"

namespace minke::ops {
namespace {

double element(const Tensor& values, int64_t index) {
  return values.dtype() == DType::kF64 ? values.data<double>()[index]
                                       : static_cast<double>(values.data<float>()[index]);
}

void set_element(const Tensor& values, int64_t index, double value) {
  if (values.dtype() == DType::kF64) {
    values.data<double>()[index] = value;
  } else {
    values.data<float>()[index] = static_cast<float>(value);
  }
}

// -ln p(target) of each row [n].
Tensor row_losses(const Context& context, const Tensor& logits, std::span<const int32_t> targets) {
  MK_CHECK(logits.shape().num_dims() == 2 && logits.size(0) == static_cast<int64_t>(targets.size()),
           "cross_entropy: logits {} with {} targets", logits.shape().text(), targets.size());
  const Tensor losses = context.empty(logits.dtype(), {logits.size(0)});
  kernels::cross_entropy(context.device, logits.view(), targets.data(), losses.view());
  return losses;
}

Tensor logits_grad(const Device& device, const Tensor& logits, const std::vector<int32_t>& targets,
                   const Tensor& scales) {
  const Tensor dx = Tensor::empty(device.arena(), logits.dtype(), logits.shape());
  kernels::cross_entropy_grad(device, logits.view(), targets.data(), scales.view(), dx.view());
  return dx;
}

}  // namespace

Tensor cross_entropy(const Context& context, const Tensor& logits, std::span<const int32_t> targets,
                     double divisor) {
  MK_CHECK(divisor > 0.0, "cross_entropy: divisor {}", divisor);
  const Tensor losses = row_losses(context, logits, targets);
  double sum = 0.0;
  for (int64_t i = 0; i < losses.num_elements(); ++i) sum += element(losses, i);
  const Tensor loss = context.empty(logits.dtype(), {1});
  set_element(loss, 0, sum / divisor);
  if (!context.records(logits)) return loss;
  const Device& device = context.device;
  const std::vector<int32_t> kept(targets.begin(), targets.end());
  return context.tape->record(
      "cross_entropy", {logits.var()}, loss, [&device, logits, kept, divisor](const Tensor& dy) {
        const Tensor scales = Tensor::empty(device.arena(), logits.dtype(), {logits.size(0)});
        for (int64_t i = 0; i < scales.num_elements(); ++i) {
          set_element(scales, i, element(dy, 0) / divisor);
        }
        return std::vector<Tensor>{logits_grad(device, logits, kept, scales)};
      });
}

Tensor cross_entropy(const Context& context, const Tensor& logits,
                     std::span<const int32_t> targets) {
  const auto num_counted =
      std::count_if(targets.begin(), targets.end(), [](int32_t target) { return target >= 0; });
  return cross_entropy(context, logits, targets,
                       static_cast<double>(std::max<int64_t>(num_counted, 1)));
}

Tensor log_probs(const Context& context, const Tensor& logits, std::span<const int32_t> targets) {
  const Tensor values = row_losses(context, logits, targets);
  for (int64_t i = 0; i < values.num_elements(); ++i) set_element(values, i, -element(values, i));
  if (!context.records(logits)) return values;
  const Device& device = context.device;
  const std::vector<int32_t> kept(targets.begin(), targets.end());
  return context.tape->record(
      "log_probs", {logits.var()}, values, [&device, logits, kept](const Tensor& dy) {
        const Tensor scales = Tensor::empty(device.arena(), logits.dtype(), {logits.size(0)});
        for (int64_t i = 0; i < scales.num_elements(); ++i) set_element(scales, i, -element(dy, i));
        return std::vector<Tensor>{logits_grad(device, logits, kept, scales)};
      });
}

Tensor linear_cross_entropy(const Context& context, const Tensor& x, const Weight& weight,
                            std::span<const int32_t> targets, double divisor) {
  return cross_entropy(context, linear(context, x, weight), targets, divisor);
}

Tensor linear_log_probs(const Context& context, const Tensor& x, const Weight& weight,
                        std::span<const int32_t> targets) {
  return log_probs(context, linear(context, x, weight), targets);
}

}  // namespace minke::ops
