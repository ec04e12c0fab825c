#include "minke/nn/parameter.h"

#include <algorithm>

#include "minke/kernels/packed.h"

namespace minke {

Tensor Parameter::tensor(const Context& context) const {
  return context.tape != nullptr && trainable() ? context.tape->watch(value) : value;
}

ops::Weight Parameter::weight(const Context& context) const {
  return {tensor(context), dtype, rows, cols};
}

Parameter Parameter::row_range(int64_t begin, int64_t end) const {
  MK_CHECK(begin % kernels::kPanelRows == 0 && begin >= 0 && begin < end && end <= rows,
           "parameter: rows [{}, {}) of {}", begin, end, rows);
  const auto panels = [](int64_t count) {
    return (count + kernels::kPanelRows - 1) / kernels::kPanelRows;
  };
  Parameter part;
  part.value = value.reshaped({panels(rows), value.num_elements() / panels(rows)})
                   .rows(panels(begin), panels(end));
  part.value = part.value.reshaped({part.value.num_elements()});
  part.dtype = dtype;
  part.rows = end - begin;
  part.cols = cols;
  return part;
}

namespace {

// A matrix whose panels are still zeros. Block formats are opaque bytes to tensors; the others keep
// their element type.
Parameter empty_matrix(DType dtype, int64_t rows, int64_t cols) {
  Parameter parameter;
  parameter.dtype = dtype;
  parameter.rows = rows;
  parameter.cols = cols;
  const int64_t bytes = kernels::packed_bytes(dtype, rows, cols);
  parameter.value = is_block_quantized(dtype)
                        ? Tensor::zeros(DType::kI8, {bytes})
                        : Tensor::zeros(dtype, {bytes / dtype_info(dtype).block_bytes});
  return parameter;
}

}  // namespace

Parameter packed_parameter(const Device& device, DType dtype, int64_t rows, int64_t cols,
                           std::span<const float> values) {
  const DTypeInfo& format = dtype_info(dtype);
  MK_CHECK(static_cast<int64_t>(values.size()) == rows * cols && format.encode != nullptr &&
               kernels::packable(dtype, cols),
           "packed_parameter: {} values for {} [{}, {}]", values.size(), format.name, rows, cols);
  std::vector<std::byte> encoded(static_cast<size_t>(dtype_bytes(dtype, rows * cols)));
  const int64_t row_blocks = cols / format.block_size, row_bytes = dtype_bytes(dtype, cols);
  device.pool().parallel_for(rows, 16, [&](int64_t begin, int64_t end, int) {
    format.encode(values.data() + begin * cols, (end - begin) * row_blocks,
                  encoded.data() + begin * row_bytes);
  });
  Parameter parameter = empty_matrix(dtype, rows, cols);
  kernels::pack(device, encoded.data(), dtype, rows, cols, parameter.value.view().data);
  return parameter;
}

Parameter& ParameterStore::add(Parameter parameter) {
  return parameters_.emplace_back(std::move(parameter));
}

int64_t ParameterStore::num_elements() const {
  int64_t sum = 0;
  for (const Parameter& parameter : parameters_) sum += parameter.num_elements();
  return sum;
}

Result<const WeightInfo*> ParameterLoader::find(const std::string& name, const Shape& shape) {
  const WeightInfo* info = file_.find(name);
  if (info == nullptr) return fail(ErrorCode::kCorrupt, "the file has no tensor '{}'", name);
  if (!(info->shape == shape)) {
    return fail(ErrorCode::kCorrupt, "tensor '{}' has shape {} when it should be {}", name,
                info->shape.text(), shape.text());
  }
  if (dtype_info(info->dtype).decode == nullptr) {
    return fail(ErrorCode::kCorrupt, "tensor '{}' has format {}, which cannot hold weights", name,
                dtype_info(info->dtype).name);
  }
  return info;
}

Result<const Parameter*> ParameterLoader::vector(const std::string& name, int64_t cols) {
  return vectors({{name, cols}});
}

Result<const Parameter*> ParameterLoader::vectors(const std::vector<Matrix>& wanted) {
  Parameter parameter;
  std::vector<const WeightInfo*> infos;
  for (const auto& [name, count] : wanted) {
    MK_ASSIGN(const WeightInfo* info, find(name, {count}));
    const DTypeInfo& format = dtype_info(info->dtype);
    if (count % format.block_size != 0) {
      return fail(ErrorCode::kCorrupt, "tensor '{}' has {} elements, no multiple of {}'s {}", name,
                  count, format.name, format.block_size);
    }
    infos.push_back(info);
    parameter.names.push_back(name);
    parameter.name_rows.push_back(1);
    parameter.cols += count;
  }
  parameter.value = Tensor::zeros(DType::kF32, {parameter.cols});
  auto* to = parameter.value.data<float>();
  for (const WeightInfo* info : infos) {
    const DTypeInfo& format = dtype_info(info->dtype);
    format.decode(info->bytes.data(), info->shape[0] / format.block_size, to);
    to += info->shape[0];
  }
  return &store_.add(std::move(parameter));
}

Result<std::vector<float>> ParameterLoader::decoded(const std::string& name, const Shape& shape) {
  MK_ASSIGN(const WeightInfo* info, find(name, shape));
  const DTypeInfo& format = dtype_info(info->dtype);
  if (shape.back() % format.block_size != 0) {
    return fail(ErrorCode::kCorrupt, "tensor '{}' is {} wide, no multiple of {}'s block of {}",
                name, shape.back(), format.name, format.block_size);
  }
  std::vector<float> values(static_cast<size_t>(shape.num_elements()));
  decode_rows(*info, 0, shape.num_elements() / shape.back(), values.data());
  file_.drop(info->bytes);
  return values;
}

const Parameter* ParameterLoader::made(const std::string& name, DType dtype, int64_t rows,
                                       int64_t cols, std::span<const float> values) {
  Parameter parameter = packed_parameter(device_, dtype, rows, cols, values);
  parameter.names = {name};
  parameter.name_rows = {rows};
  return &store_.add(std::move(parameter));
}

// The format in which a matrix lies in memory.
DType ParameterLoader::packed_dtype(const WeightInfo& info) const {
  if (info.dtype != DType::kF8E4M3) return info.dtype;
  if (precision_ == Precision::kF32) return DType::kF32;
  const bool fits_blocks = info.shape.back() % dtype_info(DType::kQ8_0).block_size == 0;
  return precision_ == Precision::kInt8 && fits_blocks ? DType::kQ8_0 : DType::kBf16;
}

// Packs a matrix in `dtype`. Where the file has another format, a few panels at a time are decoded
// and encoded.
void ParameterLoader::pack(const WeightInfo& info, DType dtype, int64_t begin_row, int64_t rows,
                           std::byte* packed) const {
  const int64_t cols = info.shape[1];
  if (dtype == info.dtype) {
    kernels::pack(device_, info.bytes.data() + begin_row * dtype_bytes(dtype, cols), dtype, rows,
                  cols, packed);
    return;
  }
  constexpr int64_t kRows = 16 * kernels::kPanelRows;
  const DTypeInfo& format = dtype_info(dtype);
  const int64_t row_bytes = dtype_bytes(dtype, cols);
  std::vector<std::byte> encoded(static_cast<size_t>(std::min(kRows, rows) * row_bytes));
  for (int64_t first = 0; first < rows; first += kRows) {
    const int64_t count = std::min(kRows, rows - first);
    device_.pool().parallel_for(count, 4, [&](int64_t begin, int64_t end, int) {
      std::vector<float> row(static_cast<size_t>(cols));
      for (int64_t i = begin; i < end; ++i) {
        decode_rows(info, begin_row + first + i, 1, row.data());
        format.encode(row.data(), cols / format.block_size, encoded.data() + i * row_bytes);
      }
    });
    kernels::pack(device_, encoded.data(), dtype, count, cols, packed);
    packed += kernels::packed_bytes(dtype, count, cols);
  }
}

Result<const WeightInfo*> ParameterLoader::find_matrix(const std::string& name, int64_t rows,
                                                       int64_t cols) {
  MK_ASSIGN(const WeightInfo* info, find(name, {rows, cols}));
  if (!kernels::packable(packed_dtype(*info), cols)) {
    return fail(ErrorCode::kCorrupt, "tensor '{}' is {} wide, no multiple of {}'s block of {}",
                name, cols, dtype_info(info->dtype).name, dtype_info(info->dtype).block_size);
  }
  return info;
}

Result<Parameter> ParameterLoader::matrix(const std::string& name, int64_t rows, int64_t cols) {
  return matrix_rows(name, rows, cols, 0, rows);
}

Result<Parameter> ParameterLoader::matrix_rows(const std::string& name, int64_t rows, int64_t cols,
                                               int64_t first, int64_t count) {
  MK_CHECK(first >= 0 && count > 0 && first + count <= rows, "matrix_rows: {} from {} of {}", count,
           first, rows);
  MK_ASSIGN(const WeightInfo* info, find_matrix(name, rows, cols));
  Parameter parameter = empty_matrix(packed_dtype(*info), count, cols);
  pack(*info, parameter.dtype, first, count, parameter.value.view().data);
  if (first + count == rows) file_.drop(info->bytes);
  return parameter;
}

Result<std::vector<const Parameter*>> ParameterLoader::matrices(const std::vector<Matrix>& wanted,
                                                                int64_t cols) {
  std::vector<const WeightInfo*> infos;
  for (const Matrix& matrix : wanted) {
    MK_ASSIGN(const WeightInfo* info, find_matrix(matrix.name, matrix.rows, cols));
    infos.push_back(info);
  }
  std::vector<const Parameter*> made;
  for (size_t first = 0; first < wanted.size();) {
    size_t last = first + 1;
    int64_t rows = wanted[first].rows;
    const DType dtype = packed_dtype(*infos[first]);
    while (last < wanted.size() && packed_dtype(*infos[last]) == dtype &&
           rows % kernels::kPanelRows == 0) {
      rows += wanted[last++].rows;
    }
    Parameter parameter = empty_matrix(dtype, rows, cols);
    std::byte* to = parameter.value.view().data;
    for (size_t i = first; i < last; ++i) {
      parameter.names.push_back(wanted[i].name);
      parameter.name_rows.push_back(wanted[i].rows);
      pack(*infos[i], parameter.dtype, 0, wanted[i].rows, to);
      to += kernels::packed_bytes(parameter.dtype, wanted[i].rows, cols);
      file_.drop(infos[i]->bytes);
    }
    made.push_back(&store_.add(std::move(parameter)));
    first = last;
  }
  return made;
}

}  // namespace minke
