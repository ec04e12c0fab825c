#include <vector>

#include "minke/kernels/packed.h"
#include "minke/kernels/pointwise.h"
#include "minke/ops/ops.h"

namespace minke::ops {

Tensor embedding(const Context& context, const Weight& table, std::span<const int32_t> ids) {
  const DType dtype = table.dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  const auto num_ids = static_cast<int64_t>(ids.size());
  const Tensor y = context.empty(dtype, {num_ids, table.cols});
  kernels::unpack_rows(context.device, table.view(), ids.data(), num_ids, y.view());
  if (!context.records(table.storage)) return y;
  const Device& device = context.device;
  const std::vector<int32_t> kept_ids(ids.begin(), ids.end());
  return context.tape->record(
      "embedding", {table.storage.var()}, y, [&device, table, kept_ids](const Tensor& dy) {
        // Summed row-major, then packed as the table is.
        const Tensor plain = Tensor::empty(device.arena(), dy.dtype(), {table.rows, table.cols});
        kernels::embedding_grad(device, dy.view(), kept_ids.data(), plain.view());
        const Tensor packed = Tensor::empty(device.arena(), table.dtype, table.storage.shape());
        kernels::pack(device, plain.view().data, table.dtype, table.rows, table.cols,
                      packed.view().data);
        return std::vector<Tensor>{packed};
      });
}

}  // namespace minke::ops
