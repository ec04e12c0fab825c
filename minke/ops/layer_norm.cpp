#include "minke/kernels/pointwise.h"
#include "minke/ops/ops.h"

namespace minke::ops {

Tensor layer_norm(const Context& context, const Tensor& x, const Tensor& weight, const Tensor& bias,
                  double eps) {
  MK_CHECK(x.shape().back() == weight.num_elements(), "layer_norm: weight {} does not match x {}",
           weight.shape().text(), x.shape().text());
  const Tensor y = context.empty(x.dtype(), x.shape());
  kernels::layer_norm(context.device, x.view(), weight.view(),
                      bias.defined() ? bias.view() : View(), eps, y.view());
  if (!context.records(x, weight, bias)) return y;
  const Device& device = context.device;
  return context.tape->record(
      "layer_norm", {x.var(), weight.var(), bias.var()}, y,
      [&device, x, weight, has_bias = bias.defined(), eps](const Tensor& dy) {
        const Tensor dx = Tensor::empty(device.arena(), x.dtype(), x.shape());
        const Tensor dw = Tensor::empty(device.arena(), weight.dtype(), weight.shape());
        const Tensor db =
            has_bias ? Tensor::empty(device.arena(), weight.dtype(), weight.shape()) : Tensor();
        kernels::layer_norm_grad(device, x.view(), weight.view(), eps, dy.view(), dx.view(),
                                 dw.view(), has_bias ? db.view() : View());
        return std::vector<Tensor>{dx, dw, db};
      });
}

Tensor gelu(const Context& context, const Tensor& x, kernels::GeluForm form) {
  const Tensor y = context.empty(x.dtype(), x.shape());
  kernels::gelu(context.device, x.view(), form, y.view());
  if (!context.records(x)) return y;
  const Device& device = context.device;
  return context.tape->record("gelu", {x.var()}, y, [&device, x, form](const Tensor& dy) {
    const Tensor dx = Tensor::empty(device.arena(), x.dtype(), x.shape());
    kernels::gelu_grad(device, x.view(), dy.view(), form, dx.view());
    return std::vector<Tensor>{dx};
  });
}

}  // namespace minke::ops
