#include "minke/kernels/pointwise.h"

#include <algorithm>
#include <cstring>

#include "minke/kernels/cpu/cpu.h"
#include "minke/kernels/exp.h"
#include "minke/kernels/implementations.h"
#include "minke/kernels/row_math.h"

namespace minke::kernels {
namespace {

// Columns a thread takes at once where rows are summed.
constexpr int64_t kColumnGrain = 64;

bool same_shape(const ConstView& a, const ConstView& b) {
  return a.dtype == b.dtype && a.rows == b.rows && a.cols == b.cols;
}

template <class T>
void swiglu_row(const T* __restrict gate, const T* __restrict up, int64_t count, T* __restrict y) {
  for (int64_t i = 0; i < count; ++i) {
    y[i] = gate[i] / (T{1} + exp_of<T>(-gate[i])) * up[i];
  }
}

using SwigluFn = void(const ConstView&, const View&, int64_t, int64_t);

void swiglu_ref(const ConstView& gate_up, const View& y, int64_t begin, int64_t end) {
  with_float_type("swiglu", y.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = begin; row < end; ++row) {
      const T* gate = gate_up.row<T>(row);
      swiglu_row<T>(gate, gate + y.cols, y.cols, y.row<T>(row));
    }
  });
}

constexpr Implementation<SwigluFn> kSwiglu[] = MK_IMPLEMENTATIONS(swiglu, swiglu_ref);

// With s = 1 / (1 + exp(-g)): d silu(g) / dg = s (1 + g (1 - s)).
template <class T>
void swiglu_grad_row(const T* __restrict gate, const T* __restrict up, const T* __restrict dy,
                     int64_t count, T* __restrict d_gate, T* __restrict d_up) {
  for (int64_t i = 0; i < count; ++i) {
    const T s = T{1} / (T{1} + exp_of<T>(-gate[i]));
    d_up[i] = dy[i] * (gate[i] * s);
    d_gate[i] = dy[i] * up[i] * (s * (T{1} + gate[i] * (T{1} - s)));
  }
}

// (y0, y1) = (x0 cos - x1 sin, x0 sin + x1 cos); `step` parts the two of a pair, `pair_step` the
// pairs.
template <class T>
void rotate_head(const T* x, const float* cos, const float* sin, T sign, int64_t num_pairs,
                 RopeStyle style, T* y) {
  const int64_t step = style == RopeStyle::kHalf ? num_pairs : 1;
  const int64_t pair_step = style == RopeStyle::kHalf ? 1 : 2;
  for (int64_t i = 0; i < num_pairs; ++i) {
    const T c = static_cast<T>(cos[i]);
    const T s = sign * static_cast<T>(sin[i]);
    const T x0 = x[i * pair_step];
    const T x1 = x[i * pair_step + step];
    y[i * pair_step] = x0 * c - x1 * s;
    y[i * pair_step + step] = x0 * s + x1 * c;
  }
}

}  // namespace

void add(const Device& device, const ConstView& a, const ConstView& b, const View& y) {
  MK_CHECK(same_shape(a, b) && same_shape(a, y), "add: [{}, {}] + [{}, {}] to [{}, {}]", a.rows,
           a.cols, b.rows, b.cols, y.rows, y.cols);
  with_float_type("add", a.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const T* a_row = a.row<T>(row);
        const T* b_row = b.row<T>(row);
        T* y_row = y.row<T>(row);
        for (int64_t i = 0; i < a.cols; ++i) y_row[i] = a_row[i] + b_row[i];
      }
    };
    device.pool().parallel_for(a.rows, row_grain(a.cols), body);
  });
}

void add_row(const Device& device, const ConstView& x, const ConstView& row, const View& y) {
  MK_CHECK(same_shape(x, y) && row.cols == x.cols && row.dtype == x.dtype,
           "add_row: [{}, {}] + [{}] to [{}, {}]", x.rows, x.cols, row.cols, y.rows, y.cols);
  with_float_type("add_row", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T* added = row.row<T>(0);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const T* x_row = x.row<T>(i);
        T* y_row = y.row<T>(i);
        for (int64_t c = 0; c < x.cols; ++c) y_row[c] = x_row[c] + added[c];
      }
    };
    device.pool().parallel_for(x.rows, row_grain(x.cols), body);
  });
}

void sum_rows(const Device& device, const ConstView& x, const View& row) {
  MK_CHECK(row.cols == x.cols && row.dtype == x.dtype, "sum_rows: [{}, {}] to [{}]", x.rows, x.cols,
           row.cols);
  with_float_type("sum_rows", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    T* sum = row.row<T>(0);
    const auto body = [&](int64_t begin, int64_t end, int) {
      std::fill(sum + begin, sum + end, T{0});
      for (int64_t i = 0; i < x.rows; ++i) {
        const T* x_row = x.row<T>(i);
        for (int64_t c = begin; c < end; ++c) sum[c] += x_row[c];
      }
    };
    device.pool().parallel_for(x.cols, kColumnGrain, body);
  });
}

void swiglu(const Device& device, const ConstView& gate_up, const View& y) {
  MK_CHECK(gate_up.rows == y.rows && gate_up.cols == 2 * y.cols && gate_up.dtype == y.dtype,
           "swiglu: [{}, {}] to [{}, {}]", gate_up.rows, gate_up.cols, y.rows, y.cols);
  const bool vectors = y.dtype == DType::kF32 && y.cols % 16 == 0;
  SwigluFn* const run = choose(kSwiglu, vectors ? device.level() : CpuLevel::kRef);
  device.pool().parallel_for(y.rows, row_grain(4 * y.cols),
                             [&](int64_t begin, int64_t end, int) { run(gate_up, y, begin, end); });
}

void swiglu_grad(const Device& device, const ConstView& gate_up, const ConstView& dy,
                 const View& d_gate_up) {
  MK_CHECK(same_shape(gate_up, d_gate_up) && gate_up.rows == dy.rows &&
               gate_up.cols == 2 * dy.cols && gate_up.dtype == dy.dtype,
           "swiglu_grad: [{}, {}], dy [{}, {}]", gate_up.rows, gate_up.cols, dy.rows, dy.cols);
  with_float_type("swiglu_grad", dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const T* gate = gate_up.row<T>(row);
        T* d_gate = d_gate_up.row<T>(row);
        swiglu_grad_row<T>(gate, gate + dy.cols, dy.row<T>(row), dy.cols, d_gate, d_gate + dy.cols);
      }
    };
    device.pool().parallel_for(dy.rows, row_grain(4 * dy.cols), body);
  });
}

void rope(const Device& device, const ConstView& x, const RopeArgs& args, const View& y) {
  const int64_t head_size = args.head_size > 0 ? args.head_size : args.head_dim;
  MK_CHECK(same_shape(x, y) && args.head_dim > 0 && args.head_dim % 2 == 0 &&
               args.head_dim <= head_size && x.cols % head_size == 0,
           "rope: [{}, {}] to [{}, {}], head_dim {} of {}", x.rows, x.cols, y.rows, y.cols,
           args.head_dim, head_size);
  const int64_t num_pairs = args.head_dim / 2, num_copied = head_size - args.head_dim;
  with_float_type("rope", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T sign = args.inverse ? T{-1} : T{1};
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const float* cos = args.cos_sin + args.positions[row] * args.head_dim;
        for (int64_t head = 0; head < x.cols; head += head_size) {
          const T* from = x.row<T>(row) + head;
          T* to = y.row<T>(row) + head;
          if (from != to) std::copy(from, from + num_copied, to);
          rotate_head<T>(from + num_copied, cos, cos + num_pairs, sign, num_pairs, args.style,
                         to + num_copied);
        }
      }
    };
    device.pool().parallel_for(x.rows, row_grain(x.cols), body);
  });
}

void embedding_grad(const Device& device, const ConstView& dy, const int32_t* ids,
                    const View& d_table) {
  MK_CHECK(dy.cols == d_table.cols && dy.dtype == d_table.dtype,
           "embedding_grad: dy [{}, {}], table [{}, {}]", dy.rows, dy.cols, d_table.rows,
           d_table.cols);
  with_float_type("embedding_grad", dy.dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto body = [&](int64_t begin, int64_t end, int) {
      for (int64_t row = 0; row < d_table.rows; ++row) {
        std::fill(d_table.row<T>(row) + begin, d_table.row<T>(row) + end, T{0});
      }
      for (int64_t i = 0; i < dy.rows; ++i) {
        MK_DCHECK(ids[i] >= 0 && ids[i] < d_table.rows, "embedding_grad: id {} of {}", ids[i],
                  d_table.rows);
        T* to = d_table.row<T>(ids[i]);
        const T* from = dy.row<T>(i);
        for (int64_t c = begin; c < end; ++c) to[c] += from[c];
      }
    };
    device.pool().parallel_for(dy.cols, kColumnGrain, body);
  });
}

}  // namespace minke::kernels
