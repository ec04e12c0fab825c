#include "minke/kernels/pointwise.h"
#include "minke/ops/ops.h"

namespace minke::ops {

Tensor rms_norm(const Context& context, const Tensor& x, const Tensor& weight, double eps) {
  MK_CHECK(x.shape().back() % weight.num_elements() == 0, "rms_norm: weight {} does not match x {}",
           weight.shape().text(), x.shape().text());
  const Tensor y = context.empty(x.dtype(), x.shape());
  kernels::rms_norm(context.device, x.view(), weight.view(), eps, y.view());
  if (!context.records(x, weight)) return y;
  const Device& device = context.device;
  return context.tape->record(
      "rms_norm", {x.var(), weight.var()}, y, [&device, x, weight, eps](const Tensor& dy) {
        const Tensor dx = Tensor::empty(device.arena(), x.dtype(), x.shape());
        const Tensor dw = Tensor::empty(device.arena(), weight.dtype(), weight.shape());
        kernels::rms_norm_grad(device, x.view(), weight.view(), eps, dy.view(), dx.view(),
                               dw.view());
        return std::vector<Tensor>{dx, dw};
      });
}

}  // namespace minke::ops
