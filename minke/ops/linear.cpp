#include "minke/kernels/matmul.h"
#include "minke/ops/ops.h"

namespace minke::ops {

Tensor linear(const Context& context, const Tensor& x, const Weight& weight) {
  MK_CHECK(x.shape().back() == weight.cols, "linear: x {} with a weight [{}, {}]", x.shape().text(),
           weight.rows, weight.cols);
  const Tensor y = context.empty(x.dtype(), {x.shape().num_rows(), weight.rows});
  kernels::matmul(context.device, x.view(), weight.view(), y.view());
  if (!context.records(x, weight.storage)) return y;
  const Device& device = context.device;
  const bool wants_dx = x.var() != 0;
  const bool wants_dw = weight.storage.var() != 0;
  return context.tape->record(
      "linear", {x.var(), weight.storage.var()}, y,
      [&device, x, weight, wants_dx, wants_dw](const Tensor& dy) {
        Tensor dx, dw;
        if (wants_dx) {
          dx = Tensor::empty(device.arena(), x.dtype(), x.shape());
          kernels::matmul_input_grad(device, dy.view(), weight.view(), dx.view());
        }
        if (wants_dw) {
          dw = Tensor::empty(device.arena(), weight.dtype, weight.storage.shape());
          kernels::matmul_weight_grad(device, dy.view(), x.view(), dw.view().data);
        }
        return std::vector<Tensor>{dx, dw};
      });
}

}  // namespace minke::ops
