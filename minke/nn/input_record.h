#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "minke/tensor/device.h"
#include "minke/tensor/view.h"

namespace minke {

/// What a matrix was multiplied with: the sum of the squares of each input over all rows. Rows are
/// added one after the other in f64, so that it does not matter in which batches they came nor how
/// many threads there are.
class InputRecord {
 public:
  explicit InputRecord(int64_t cols) : sums_(static_cast<size_t>(cols)) {}

  /// Adds rows x [n, cols], f32.
  void add(const Device& device, const ConstView& x);

  std::span<const double> sums() const { return sums_; }  ///< [cols]
  int64_t num_rows() const { return num_rows_; }

 private:
  std::vector<double> sums_;
  int64_t num_rows_ = 0;
};

}  // namespace minke
