#include <algorithm>

#include "minke/kernels/scaled_add.h"
#include "minke/ops/ops.h"

namespace minke::ops {
namespace {

// Rows x.size(0), columns x.size(1) of y from (row, column) on.
Tensor block_of(const Tensor& y, int64_t row, int64_t column, const Shape& shape) {
  return y.rows(row, row + shape[0]).columns(column, column + shape[1]);
}

}  // namespace

Tensor add_block(const Context& context, const Tensor& y, const Tensor& block, int64_t row,
                 int64_t column, double scale) {
  MK_CHECK(row >= 0 && row + block.size(0) <= y.size(0) && column >= 0 &&
               column + block.size(1) <= y.size(1),
           "add_block: {} at ({}, {}) of {}", block.shape().text(), row, column, y.shape().text());
  const Device& device = context.device;
  const bool recorded = context.records(y, block);
  Tensor sum = y;
  if (recorded) {
    MK_CHECK(y.contiguous(), "add_block: to a part of {}", y.shape().text());
    sum = context.empty(y.dtype(), y.shape());
    std::copy_n(y.view().data, y.num_elements() * dtype_info(y.dtype()).block_bytes,
                sum.view().data);
  }
  kernels::scaled_add(device, block.view(), scale,
                      block_of(sum, row, column, block.shape()).view());
  if (!recorded) return sum;
  return context.tape->record(
      "add_block", {y.var(), block.var()}, sum,
      [&device, row, column, scale, shape = block.shape()](const Tensor& dy) {
        const Tensor d_block = Tensor::zeros(dy.dtype(), shape);
        kernels::scaled_add(device, block_of(dy, row, column, shape).view(), scale, d_block.view());
        return std::vector<Tensor>{dy, d_block};
      });
}

}  // namespace minke::ops
