#pragma once
#include <string>
#include <vector>

#include "minke/nn/parameter.h"

namespace minke {

/// One tensor of a file as it lies in a Parameter: rows [begin, begin + rows) of a matrix, or
/// elements [begin, begin + cols) of a vector.
struct ParameterPart {
  std::string name;
  int64_t begin = 0;
  int64_t rows = 0;  ///< 0 for a vector
  int64_t cols = 0;

  /// As the file has it: [rows, cols], or [cols].
  Shape shape() const { return rows > 0 ? Shape{rows, cols} : Shape{cols}; }
};

/// The tensors that a Parameter is made of, in its order.
std::vector<ParameterPart> parts_of(const Parameter& parameter);

/// Row `row` of a part (of a vector 0: all of it) out of `storage`, f32, which lies as the
/// Parameter's value does: that, a gradient, a moment of an optimizer. out [cols].
void copy_row(const ParameterPart& part, const Tensor& storage, int64_t row, float* out);
/// Column `col` of a matrix. out [rows].
void copy_column(const ParameterPart& part, const Tensor& storage, int64_t col, float* out);

}  // namespace minke
