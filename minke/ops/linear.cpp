#include "minke/kernels/matmul.h"
#include "minke/ops/ops.h"

namespace minke::ops {

Tensor linear(const Context& context, const Tensor& x, const Weight& weight) {
  MK_CHECK(x.shape().back() == weight.cols, "linear: x {} with a weight [{}, {}]", x.shape().text(),
           weight.rows, weight.cols);
  const Tensor y = context.empty(x.dtype(), {x.shape().num_rows(), weight.rows});
  kernels::matmul(context.device, x.view(), weight.view(), y.view());
  return record_linear(context, x, weight, y);
}

Tensor record_linear(const Context& context, const Tensor& x, const Weight& weight,
                     const Tensor& y) {
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
          kernels::matmul_weight_grad(device, dy.view(), x.view(), false, dw.view().data);
        }
        return std::vector<Tensor>{dx, dw};
      });
}

Tensor linear_grouped(const Context& context, const Tensor& x, const std::vector<Weight>& weights,
                      const std::vector<int64_t>& group_rows) {
  MK_CHECK(!weights.empty() && weights.size() == group_rows.size(),
           "linear_grouped: {} weights for {} groups", weights.size(), group_rows.size());
  const Tensor y = context.empty(x.dtype(), {x.size(0), weights.front().rows});
  std::vector<VarId> inputs = {x.var()};
  bool recorded = context.records(x);
  int64_t row = 0;
  for (size_t g = 0; g < weights.size(); ++g) {
    const int64_t end = row + group_rows[g];
    kernels::matmul(context.device, x.rows(row, end).view(), weights[g].view(),
                    y.rows(row, end).view());
    inputs.push_back(weights[g].storage.var());
    recorded = recorded || context.records(weights[g].storage);
    row = end;
  }
  MK_CHECK(row == x.size(0), "linear_grouped: {} rows in groups of {}", x.size(0), row);
  if (!recorded) return y;
  const Device& device = context.device;
  const bool wants_dx = x.var() != 0;
  return context.tape->record(
      "linear_grouped", inputs, y, [&device, x, weights, group_rows, wants_dx](const Tensor& dy) {
        std::vector<Tensor> gradients(1 + weights.size());
        if (wants_dx) gradients[0] = Tensor::empty(device.arena(), x.dtype(), x.shape());
        int64_t begin = 0;
        for (size_t g = 0; g < weights.size(); ++g) {
          const int64_t end = begin + group_rows[g];
          const Tensor& storage = weights[g].storage;
          const Tensor dy_rows = dy.rows(begin, end);
          if (wants_dx) {
            kernels::matmul_input_grad(device, dy_rows.view(), weights[g].view(),
                                       gradients[0].rows(begin, end).view());
          }
          if (storage.var() != 0) {
            gradients[1 + g] = Tensor::empty(device.arena(), weights[g].dtype, storage.shape());
            kernels::matmul_weight_grad(device, dy_rows.view(), x.rows(begin, end).view(), false,
                                        gradients[1 + g].view().data);
          }
          begin = end;
        }
        return gradients;
      });
}

}  // namespace minke::ops
