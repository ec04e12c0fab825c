#include "minke/nn/linear.h"

#include "minke/kernels/matmul.h"

namespace minke {
namespace {

// x as whole numbers, in buffers of the context's arena.
struct Int8Rows {
  Tensor q, q_low, scale, scale_sum, group_sum;
  kernels::Int8View view;
};

Int8Rows quantized(const Context& context, const Tensor& x, InputBits bits) {
  const int64_t rows = x.size(0), cols = x.size(1), num_blocks = cols / kernels::kBlockCols;
  Int8Rows made;
  made.q = context.empty(DType::kI8, {rows, cols});
  made.scale = context.empty(DType::kF32, {rows, num_blocks});
  made.scale_sum = context.empty(DType::kF32, {rows, num_blocks});
  made.group_sum = context.empty(DType::kI32, {rows, 2 * num_blocks});
  made.view.q = made.q.data<int8_t>();
  made.view.scale = made.scale.data<float>();
  made.view.scale_sum = made.scale_sum.data<float>();
  made.view.group_sum = made.group_sum.data<int32_t>();
  made.view.rows = rows;
  made.view.cols = cols;
  if (bits == InputBits::k15) {
    made.q_low = context.empty(DType::kI8, {rows, cols});
    made.view.q_low = made.q_low.data<int8_t>();
  }
  kernels::quantize_int8(context.device, x.view(), made.view);
  return made;
}

}  // namespace

Linear::Linear(std::vector<const Parameter*> parts, Precision precision, InputBits input_bits)
    : parts_(std::move(parts)), precision_(precision), input_bits_(input_bits) {
  MK_CHECK(!parts_.empty(), "linear: no weights");
  for (const Parameter* part : parts_) {
    MK_CHECK(part->cols == cols(), "linear: parts of {} and {} inputs", part->cols, cols());
    rows_ += part->rows;
  }
}

Tensor Linear::forward(const Context& context, const Tensor& x) const {
  if (precision_ == Precision::kF32 && parts_.size() == 1) {
    return ops::linear(context, x, parts_.front()->weight(context));
  }
  MK_CHECK(!context.records(x), "linear: no gradient for int8 products or mixed formats");
  const Tensor y = context.empty(DType::kF32, {x.size(0), rows_});
  Int8Rows int8;
  int64_t row = 0;
  for (const Parameter* part : parts_) {
    const kernels::PackedView w = part->weight({context.device}).view();
    const View out = y.columns(row, row + part->rows).view();
    row += part->rows;
    if (precision_ == Precision::kInt8 && is_block_quantized(part->dtype)) {
      if (!int8.q.defined()) int8 = quantized(context, x, input_bits_);
      kernels::matmul_int8(context.device, int8.view, w, out);
    } else {
      kernels::matmul(context.device, x.view(), w, out);
    }
  }
  return y;
}

}  // namespace minke
