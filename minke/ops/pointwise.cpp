#include "minke/kernels/pointwise.h"

#include <cstring>

#include "minke/ops/ops.h"

namespace minke::ops {

Tensor add(const Context& context, const Tensor& a, const Tensor& b) {
  MK_CHECK(a.shape() == b.shape(), "add: {} + {}", a.shape().text(), b.shape().text());
  const Tensor y = context.empty(a.dtype(), a.shape());
  kernels::add(context.device, a.view(), b.view(), y.view());
  if (!context.records(a, b)) return y;
  return context.tape->record("add", {a.var(), b.var()}, y, [](const Tensor& dy) {
    return std::vector<Tensor>{dy, dy};
  });
}

Tensor add_row(const Context& context, const Tensor& x, const Tensor& row) {
  MK_CHECK(row.num_elements() == x.shape().back(), "add_row: {} + {}", x.shape().text(),
           row.shape().text());
  const Tensor y = context.empty(x.dtype(), x.shape());
  kernels::add_row(context.device, x.view(), row.view(), y.view());
  if (!context.records(x, row)) return y;
  const Device& device = context.device;
  return context.tape->record("add_row", {x.var(), row.var()}, y, [&device, row](const Tensor& dy) {
    const Tensor sum = Tensor::empty(device.arena(), row.dtype(), row.shape());
    kernels::sum_rows(device, dy.view(), sum.view());
    return std::vector<Tensor>{dy, sum};
  });
}

Tensor swiglu(const Context& context, const Tensor& gate_up) {
  const Shape& shape = gate_up.shape();
  MK_CHECK(shape.num_dims() == 2 && shape.back() % 2 == 0, "swiglu: {}", shape.text());
  const Tensor y = context.empty(gate_up.dtype(), {shape[0], shape[1] / 2});  // [n, f]
  kernels::swiglu(context.device, gate_up.view(), y.view());
  if (!context.records(gate_up)) return y;
  const Device& device = context.device;
  return context.tape->record("swiglu", {gate_up.var()}, y, [&device, gate_up](const Tensor& dy) {
    const Tensor dx = Tensor::empty(device.arena(), gate_up.dtype(), gate_up.shape());
    kernels::swiglu_grad(device, gate_up.view(), dy.view(), dx.view());
    return std::vector<Tensor>{dx};
  });
}

Tensor rope(const Context& context, const Tensor& x, const kernels::RopeArgs& args) {
  const Tensor y = context.empty(x.dtype(), x.shape());
  kernels::rope(context.device, x.view(), args, y.view());
  if (!context.records(x)) return y;
  const Device& device = context.device;
  return context.tape->record("rope", {x.var()}, y, [&device, args](const Tensor& dy) {
    kernels::RopeArgs back = args;
    back.inverse = !args.inverse;
    const Tensor dx = Tensor::empty(device.arena(), dy.dtype(), dy.shape());
    kernels::rope(device, dy.view(), back, dx.view());
    return std::vector<Tensor>{dx};
  });
}

Tensor columns(const Context& context, const Tensor& x, int64_t begin, int64_t end) {
  const Tensor y = x.columns(begin, end);
  if (!context.records(x)) return y;
  const Device& device = context.device;
  const Shape shape = x.shape();
  return context.tape->record(
      "columns", {x.var()}, y, [&device, shape, begin, end](const Tensor& dy) {
        // dx is dy in its columns and zero around them.
        const Tensor dx = Tensor::empty(device.arena(), dy.dtype(), shape);
        const int64_t element_bytes = dtype_bytes(dy.dtype(), 1);
        const View to = dx.view();
        const ConstView from = dy.view();
        for (int64_t row = 0; row < to.rows; ++row) {
          std::byte* out = to.data + row * to.stride * element_bytes;
          std::memset(out, 0, begin * element_bytes);
          std::memcpy(out + begin * element_bytes, from.data + row * from.stride * element_bytes,
                      (end - begin) * element_bytes);
          std::memset(out + end * element_bytes, 0, (shape.back() - end) * element_bytes);
        }
        return std::vector<Tensor>{dx};
      });
}

namespace {

// Rows of the same number and width.
void copy_rows(const ConstView& from, const View& to) {
  const int64_t element_bytes = dtype_bytes(to.dtype, 1);
  for (int64_t row = 0; row < to.rows; ++row) {
    std::memcpy(to.data + row * to.stride * element_bytes,
                from.data + row * from.stride * element_bytes, to.cols * element_bytes);
  }
}

}  // namespace

Tensor concat_columns(const Context& context, const Tensor& a, const Tensor& b) {
  MK_CHECK(a.size(0) == b.size(0) && a.dtype() == b.dtype(), "concat_columns: {} and {}",
           a.shape().text(), b.shape().text());
  const int64_t left = a.size(1), cols = left + b.size(1);
  const Tensor y = context.empty(a.dtype(), {a.size(0), cols});
  copy_rows(a.view(), y.columns(0, left).view());
  copy_rows(b.view(), y.columns(left, cols).view());
  if (!context.records(a, b)) return y;
  const Device& device = context.device;
  return context.tape->record(
      "concat_columns", {a.var(), b.var()}, y, [&device, left, cols](const Tensor& dy) {
        const Tensor da = Tensor::empty(device.arena(), dy.dtype(), {dy.size(0), left});
        const Tensor db = Tensor::empty(device.arena(), dy.dtype(), {dy.size(0), cols - left});
        copy_rows(dy.columns(0, left).view(), da.view());
        copy_rows(dy.columns(left, cols).view(), db.view());
        return std::vector<Tensor>{da, db};
      });
}

}  // namespace minke::ops
