#include "minke/kernels/mla.h"

#include "minke/ops/ops.h"

namespace minke::ops {

Tensor mla_keys(const Context& context, const Tensor& kv, const Tensor& k_rope,
                const kernels::MlaShape& shape) {
  const Tensor keys = context.empty(kv.dtype(), {kv.size(0), shape.num_heads * shape.key_dim()});
  kernels::mla_keys(context.device, kv.view(), k_rope.view(), shape, keys.view());
  if (!context.records(kv, k_rope)) return keys;
  const Device& device = context.device;
  return context.tape->record(
      "mla_keys", {kv.var(), k_rope.var()}, keys,
      [&device, shape, kv_shape = kv.shape(), rope_shape = k_rope.shape()](const Tensor& dy) {
        const Tensor d_kv = Tensor::empty(device.arena(), dy.dtype(), kv_shape);
        const Tensor d_k_rope = Tensor::empty(device.arena(), dy.dtype(), rope_shape);
        kernels::mla_keys_grad(device, dy.view(), shape, d_kv.view(), d_k_rope.view());
        return std::vector<Tensor>{d_kv, d_k_rope};
      });
}

Tensor mla_values(const Context& context, const Tensor& kv, const kernels::MlaShape& shape) {
  const Tensor values = context.empty(kv.dtype(), {kv.size(0), shape.num_heads * shape.value_dim});
  kernels::mla_values(context.device, kv.view(), shape, values.view());
  if (!context.records(kv)) return values;
  const Device& device = context.device;
  return context.tape->record(
      "mla_values", {kv.var()}, values, [&device, shape, kv_shape = kv.shape()](const Tensor& dy) {
        const Tensor d_kv = Tensor::empty(device.arena(), dy.dtype(), kv_shape);
        kernels::mla_values_grad(device, dy.view(), shape, d_kv.view());
        return std::vector<Tensor>{d_kv};
      });
}

}  // namespace minke::ops
