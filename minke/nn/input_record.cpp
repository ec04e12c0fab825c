#include "minke/nn/input_record.h"

#include "minke/base/check.h"

namespace minke {

void InputRecord::add(const Device& device, const ConstView& x) {
  MK_CHECK(x.dtype == DType::kF32 && x.cols == static_cast<int64_t>(sums_.size()),
           "input_record: {} columns of {} for {}", x.cols, dtype_info(x.dtype).name, sums_.size());
  constexpr int64_t kGrainCols = 64;  // of 512 rows: some 10 us of work
  device.pool().parallel_for(x.cols, kGrainCols, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = 0; row < x.rows; ++row) {
      const float* values = x.row<float>(row);
      for (int64_t col = begin; col < end; ++col) {
        const double value = values[col];
        sums_[static_cast<size_t>(col)] += value * value;
      }
    }
  });
  num_rows_ += x.rows;
}

}  // namespace minke
