#include "minke/kernels/scaled_add.h"

#include "minke/kernels/row_math.h"

namespace minke::kernels {

void scaled_add(const Device& device, const ConstView& x, double scale, const View& y) {
  MK_CHECK(x.dtype == y.dtype && x.rows == y.rows && x.cols == y.cols,
           "scaled_add: [{}, {}] to [{}, {}]", x.rows, x.cols, y.rows, y.cols);
  with_float_type("scaled_add", x.dtype, [&](auto zero) {
    using T = decltype(zero);
    const T factor = static_cast<T>(scale);
    device.pool().parallel_for(x.rows, row_grain(x.cols), [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; ++row) {
        const T* x_row = x.row<T>(row);
        T* y_row = y.row<T>(row);
        for (int64_t i = 0; i < x.cols; ++i) y_row[i] += factor * x_row[i];
      }
    });
  });
}

}  // namespace minke::kernels
