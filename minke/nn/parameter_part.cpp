#include "minke/nn/parameter_part.h"

#include <algorithm>

namespace minke {
namespace {

// Where column `col` of row `row` lies in panels of f32 (kernels/panel.h).
int64_t panel_index(int64_t row, int64_t col, int64_t cols) {
  return (row / kernels::kPanelRows * cols + col) * kernels::kPanelRows + row % kernels::kPanelRows;
}

void check_storage(const ParameterPart& part, const Tensor& storage) {
  const int64_t last = part.rows > 0
                           ? panel_index(part.begin + part.rows - 1, part.cols - 1, part.cols)
                           : part.begin + part.cols - 1;
  MK_CHECK(storage.dtype() == DType::kF32 && last < storage.num_elements(),
           "parameter: part '{}' {} of {} {}", part.name, part.shape().text(),
           dtype_info(storage.dtype()).name, storage.shape().text());
}

}  // namespace

std::vector<ParameterPart> parts_of(const Parameter& parameter) {
  std::vector<ParameterPart> parts;
  int64_t begin = 0;
  for (size_t i = 0; i < parameter.names.size(); ++i) {
    const int64_t count = parameter.name_rows[i];
    const bool is_matrix = parameter.rows > 0;
    parts.push_back(
        {parameter.names[i], begin, is_matrix ? count : 0, is_matrix ? parameter.cols : count});
    begin += count;
  }
  MK_CHECK(begin == (parameter.rows > 0 ? parameter.rows : parameter.cols),
           "parameter: parts of {} in [{}, {}]", begin, parameter.rows, parameter.cols);
  return parts;
}

void copy_row(const ParameterPart& part, const Tensor& storage, int64_t row, float* out) {
  check_storage(part, storage);
  const auto* values = storage.data<float>();
  if (part.rows == 0) {
    std::copy_n(values + part.begin, part.cols, out);
    return;
  }
  values += panel_index(part.begin + row, 0, part.cols);
  for (int64_t col = 0; col < part.cols; ++col) out[col] = values[col * kernels::kPanelRows];
}

void copy_column(const ParameterPart& part, const Tensor& storage, int64_t col, float* out) {
  check_storage(part, storage);
  const auto* values = storage.data<float>();
  for (int64_t row = 0; row < part.rows; ++row) {
    out[row] = values[panel_index(part.begin + row, col, part.cols)];
  }
}

}  // namespace minke
