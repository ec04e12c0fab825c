#pragma once
#include <cstddef>
#include <cstdint>

#include "minke/dtype/dtype.h"

namespace minke {

/// A matrix in memory, raw: what kernels read. Rows are `stride` elements apart, elements of a row
/// are neighbours. Owns nothing. (No header that instantiates templates is included here: this file
/// is compiled with the instruction sets of the kernels.)
struct ConstView {
  const std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  ///< elements from one row to the next, >= cols

  template <class T>
  const T* row(int64_t index) const {
    return reinterpret_cast<const T*>(data) + index * stride;
  }
};

/// The same, to be written.
struct View {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;

  template <class T>
  T* row(int64_t index) const {
    return reinterpret_cast<T*>(data) + index * stride;
  }
  operator ConstView() const { return {data, dtype, rows, cols, stride}; }
};

}  // namespace minke
