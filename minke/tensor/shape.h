#pragma once
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "minke/base/check.h"

namespace minke {

/// The sizes of a tensor's dimensions, outermost first; up to four. A scalar has none.
class Shape {
 public:
  static constexpr int kDimsMax = 4;

  Shape() = default;
  Shape(std::initializer_list<int64_t> sizes) {
    MK_CHECK(sizes.size() <= kDimsMax, "shape: {} dimensions", sizes.size());
    for (const int64_t size : sizes) push_back(size);
  }

  int num_dims() const { return num_dims_; }
  int64_t operator[](int dim) const {
    MK_DCHECK(dim >= 0 && dim < num_dims_, "shape: dimension {} of {}", dim, num_dims_);
    return sizes_[dim];
  }
  /// The size of the last dimension (1 for a scalar).
  int64_t back() const { return num_dims_ == 0 ? 1 : sizes_[num_dims_ - 1]; }
  void push_back(int64_t size) {
    MK_CHECK(num_dims_ < kDimsMax && size >= 0, "shape: cannot add size {}", size);
    sizes_[num_dims_++] = size;
  }
  int64_t num_elements() const {
    int64_t product = 1;
    for (int i = 0; i < num_dims_; ++i) product *= sizes_[i];
    return product;
  }
  /// The product of all sizes but the last: how many rows a matrix view of it has.
  int64_t num_rows() const {
    int64_t product = 1;
    for (int i = 0; i + 1 < num_dims_; ++i) product *= sizes_[i];
    return product;
  }
  std::string text() const {
    std::string out = "[";
    for (int i = 0; i < num_dims_; ++i) out += fmt::format("{}{}", i > 0 ? ", " : "", sizes_[i]);
    return out + "]";
  }
  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.num_dims_ != b.num_dims_) return false;
    for (int i = 0; i < a.num_dims_; ++i) {
      if (a.sizes_[i] != b.sizes_[i]) return false;
    }
    return true;
  }

 private:
  std::array<int64_t, kDimsMax> sizes_{};
  int num_dims_ = 0;
};

}  // namespace minke
