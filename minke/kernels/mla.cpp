#include "minke/kernels/mla.h"

#include <algorithm>

#include "minke/base/check.h"
#include "minke/kernels/row_math.h"

namespace minke::kernels {
namespace {

// Calls body(row, head, T{}) for all of them.
template <class Body>
void each_head(const char* name, const Device& device, DType dtype, int64_t rows,
               const MlaShape& shape, const Body& body) {
  with_float_type(name, dtype, [&](auto zero) {
    const int64_t grain = row_grain(shape.num_heads * (shape.key_dim() + shape.value_dim));
    device.pool().parallel_for(rows, grain, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        for (int64_t head = 0; head < shape.num_heads; ++head) body(row, head, zero);
      }
    });
  });
}

void check(const char* name, const ConstView& kv, const ConstView& heads, int64_t head_dim,
           const MlaShape& shape) {
  MK_CHECK(kv.cols == shape.num_heads * shape.expanded_dim() && heads.rows == kv.rows &&
               heads.cols == shape.num_heads * head_dim && heads.dtype == kv.dtype,
           "{}: kv [{}, {}], heads [{}, {}] for {} of {} + {} and {}", name, kv.rows, kv.cols,
           heads.rows, heads.cols, shape.num_heads, shape.nope_dim, shape.rope_dim,
           shape.value_dim);
}

}  // namespace

void mla_keys(const Device& device, const ConstView& kv, const ConstView& k_rope,
              const MlaShape& shape, const View& keys) {
  check("mla_keys", kv, keys, shape.key_dim(), shape);
  MK_CHECK(k_rope.rows == kv.rows && k_rope.cols == shape.rope_dim && k_rope.dtype == kv.dtype,
           "mla_keys: k_rope [{}, {}] for {} of {}", k_rope.rows, k_rope.cols, kv.rows,
           shape.rope_dim);
  each_head("mla_keys", device, kv.dtype, kv.rows, shape,
            [&](int64_t row, int64_t head, auto zero) {
              using T = decltype(zero);
              T* to = keys.row<T>(row) + head * shape.key_dim();
              std::copy_n(kv.row<T>(row) + head * shape.expanded_dim(), shape.nope_dim, to);
              std::copy_n(k_rope.row<T>(row), shape.rope_dim, to + shape.nope_dim);
            });
}

void mla_values(const Device& device, const ConstView& kv, const MlaShape& shape,
                const View& values) {
  check("mla_values", kv, values, shape.value_dim, shape);
  each_head("mla_values", device, kv.dtype, kv.rows, shape,
            [&](int64_t row, int64_t head, auto zero) {
              using T = decltype(zero);
              std::copy_n(kv.row<T>(row) + head * shape.expanded_dim() + shape.nope_dim,
                          shape.value_dim, values.row<T>(row) + head * shape.value_dim);
            });
}

void mla_keys_grad(const Device& device, const ConstView& d_keys, const MlaShape& shape,
                   const View& d_kv, const View& d_k_rope) {
  check("mla_keys_grad", d_kv, d_keys, shape.key_dim(), shape);
  each_head("mla_keys_grad", device, d_kv.dtype, d_kv.rows, shape,
            [&](int64_t row, int64_t head, auto zero) {
              using T = decltype(zero);
              const T* from = d_keys.row<T>(row) + head * shape.key_dim();
              T* to = d_kv.row<T>(row) + head * shape.expanded_dim();
              std::copy_n(from, shape.nope_dim, to);
              std::fill_n(to + shape.nope_dim, shape.value_dim, T{0});
              T* rope = d_k_rope.row<T>(row);
              for (int64_t d = 0; d < shape.rope_dim; ++d) {
                rope[d] = (head == 0 ? T{0} : rope[d]) + from[shape.nope_dim + d];
              }
            });
}

void mla_values_grad(const Device& device, const ConstView& d_values, const MlaShape& shape,
                     const View& d_kv) {
  check("mla_values_grad", d_kv, d_values, shape.value_dim, shape);
  each_head("mla_values_grad", device, d_kv.dtype, d_kv.rows, shape,
            [&](int64_t row, int64_t head, auto zero) {
              using T = decltype(zero);
              T* to = d_kv.row<T>(row) + head * shape.expanded_dim();
              std::fill_n(to, shape.nope_dim, T{0});
              std::copy_n(d_values.row<T>(row) + head * shape.value_dim, shape.value_dim,
                          to + shape.nope_dim);
            });
}

namespace {

// Calls copy(i, row, column) for every row i of `rows`, which has its place in `heads` there.
template <class Copy>
void each_part(const char* name, const Device& device, const ConstView& heads,
               const ConstView& rows, int64_t num_heads, int64_t begin, const Copy& copy) {
  const int64_t n = heads.rows, head_dim = heads.cols / num_heads;
  MK_CHECK(heads.dtype == DType::kF32 && rows.dtype == DType::kF32 && rows.rows == num_heads * n &&
               heads.cols % num_heads == 0 && begin >= 0 && begin + rows.cols <= head_dim,
           "{}: columns from {} of {} heads in [{}, {}], rows [{}, {}]", name, begin, num_heads,
           heads.rows, heads.cols, rows.rows, rows.cols);
  device.pool().parallel_for(rows.rows, row_grain(rows.cols), [&](int64_t from, int64_t to, int) {
    for (int64_t i = from; i < to; ++i) copy(i, i % n, i / n * head_dim + begin);
  });
}

}  // namespace

void heads_to_rows(const Device& device, const ConstView& x, int64_t num_heads, int64_t begin,
                   const View& y) {
  each_part("heads_to_rows", device, x, y, num_heads, begin,
            [&](int64_t i, int64_t row, int64_t column) {
              std::copy_n(x.row<float>(row) + column, y.cols, y.row<float>(i));
            });
}

void rows_to_heads(const Device& device, const ConstView& x, int64_t num_heads, int64_t begin,
                   const View& y) {
  each_part("rows_to_heads", device, y, x, num_heads, begin,
            [&](int64_t i, int64_t row, int64_t column) {
              std::copy_n(x.row<float>(i), x.cols, y.row<float>(row) + column);
            });
}

}  // namespace minke::kernels
