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
  part.frozen = frozen;
  return part;
}

namespace {

// A Parameter without names.
Parameter parameter_of(const PanelMatrix& matrix, Tensor panels) {
  Parameter parameter;
  parameter.dtype = matrix.dtype;
  parameter.rows = matrix.rows;
  parameter.cols = matrix.cols;
  parameter.value = std::move(panels);
  return parameter;
}

// Rows [first, first + count) of `values`, which are row-major with `cols` in a row, encoded and
// packed.
void pack_values(const Device& device, DType dtype, int64_t cols, std::span<const float> values,
                 int64_t first, int64_t count, std::byte* packed) {
  const DTypeInfo& format = dtype_info(dtype);
  const int64_t row_blocks = cols / format.block_size, row_bytes = dtype_bytes(dtype, cols);
  std::vector<std::byte> encoded(static_cast<size_t>(count * row_bytes));
  device.pool().parallel_for(count, 16, [&](int64_t begin, int64_t end, int) {
    format.encode(values.data() + (first + begin) * cols, (end - begin) * row_blocks,
                  encoded.data() + begin * row_bytes);
  });
  kernels::pack(device, encoded.data(), dtype, count, cols, packed);
}

void check_values(const PanelMatrix& matrix, std::span<const float> values) {
  const DTypeInfo& format = dtype_info(matrix.dtype);
  MK_CHECK(static_cast<int64_t>(values.size()) == matrix.rows * matrix.cols &&
               format.encode != nullptr && kernels::packable(matrix.dtype, matrix.cols),
           "packed_parameter: {} values for {} [{}, {}]", values.size(), format.name, matrix.rows,
           matrix.cols);
}

}  // namespace

Parameter packed_parameter(const Device& device, DType dtype, int64_t rows, int64_t cols,
                           std::span<const float> values) {
  const PanelMatrix matrix{"", dtype, rows, cols};
  check_values(matrix, values);
  Tensor panels = Tensor::zeros(matrix.tensor_dtype(), matrix.tensor_shape());
  pack_values(device, dtype, cols, values, 0, rows, panels.view().data);
  return parameter_of(matrix, std::move(panels));
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
  const WeightInfo* info = file_.find_shaped(name, shape);
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
    parameter.name_rows.push_back(count);
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

Result<Parameter> ParameterLoader::place(const PanelMatrix& matrix,
                                         PanelStore::PackRows pack_rows) {
  PanelStore& panels = panels_ != nullptr ? *panels_ : memory_;
  MK_ASSIGN(Tensor placed, panels.place(matrix, pack_rows));
  return parameter_of(matrix, std::move(placed));
}

Result<Parameter> ParameterLoader::made_part(const PanelMatrix& matrix, Values values) {
  std::vector<float> numbers;
  return place(matrix, [&](int64_t first, int64_t count, std::byte* packed) -> Result<void> {
    if (first == 0) {
      MK_ASSIGN(numbers, values());
      check_values(matrix, numbers);
    }
    pack_values(device_, matrix.dtype, matrix.cols, numbers, first, count, packed);
    return {};
  });
}

Result<const Parameter*> ParameterLoader::made(const PanelMatrix& matrix, Values values) {
  MK_ASSIGN(Parameter parameter, made_part(matrix, values));
  parameter.names = {matrix.name};
  parameter.name_rows = {matrix.rows};
  return stored(std::move(parameter));
}

std::span<const LoraDelta> ParameterLoader::deltas(std::string_view name) const {
  if (adapters_ == nullptr) return {};
  const auto at = adapters_->find(name);
  return at == adapters_->end() ? std::span<const LoraDelta>() : at->second;
}

// The parameter in the store, with what adapters add to its matrices.
const Parameter* ParameterLoader::stored(Parameter parameter) {
  int64_t row = 0;
  for (size_t i = 0; i < parameter.names.size(); row += parameter.name_rows[i++]) {
    const std::string& name = parameter.names[i];
    for (const LoraDelta& delta : deltas(name)) {
      MK_CHECK(delta.rows == parameter.name_rows[i] && delta.cols == parameter.cols,
               "lora: [{}, {}] for '{}' [{}, {}]", delta.rows, delta.cols, name,
               parameter.name_rows[i], parameter.cols);
      const size_t number = parameter.loras.size();
      const auto add = [&](const char* part, int64_t rows, int64_t cols,
                           std::span<const float> values) {
        Parameter made = packed_parameter(device_, DType::kF32, rows, cols, values);
        made.names = {fmt::format("{}.lora_{}.{}", name, part, number)};
        made.name_rows = {rows};
        return &store_.add(std::move(made));
      };
      const Parameter* a = add("a", delta.rank, delta.cols, delta.a);
      const Parameter* b = add("b", delta.rows, delta.rank, delta.b);
      parameter.loras.push_back({a, b, delta.scale, row});
    }
  }
  return &store_.add(std::move(parameter));
}

// The format in which a matrix lies in memory.
DType ParameterLoader::packed_dtype(const WeightInfo& info) const {
  if (decodes_) return DType::kF32;
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

// Packs rows [begin, end) of matrices one after the other.
void ParameterLoader::pack_joined(std::span<const Matrix> parts, const WeightInfo* const* infos,
                                  const PanelMatrix& matrix, int64_t begin, int64_t end,
                                  std::byte* packed) const {
  int64_t part_begin = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    const int64_t from = std::max(begin, part_begin);
    const int64_t to = std::min(end, part_begin + parts[i].rows);
    if (from < to) {
      pack(*infos[i], matrix.dtype, from - part_begin, to - from, packed);
      packed += kernels::packed_bytes(matrix.dtype, to - from, matrix.cols);
    }
    part_begin += parts[i].rows;
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
  const PanelMatrix matrix{first == 0 && count == rows ? name : fmt::format("{}[{}]", name, first),
                           packed_dtype(*info), count, cols};
  MK_ASSIGN(Parameter parameter,
            place(matrix, [&](int64_t begin, int64_t size, std::byte* packed) -> Result<void> {
              pack(*info, matrix.dtype, first + begin, size, packed);
              return {};
            }));
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
    const std::span<const Matrix> parts(&wanted[first], last - first);
    PanelMatrix matrix{parts.front().name, dtype, rows, cols};
    for (const Matrix& part : parts.subspan(1)) (matrix.name += "+") += part.name;
    MK_ASSIGN(Parameter parameter,
              place(matrix, [&](int64_t begin, int64_t count, std::byte* packed) -> Result<void> {
                pack_joined(parts, &infos[first], matrix, begin, begin + count, packed);
                return {};
              }));
    for (size_t i = first; i < last; ++i) {
      parameter.names.push_back(wanted[i].name);
      parameter.name_rows.push_back(wanted[i].rows);
      file_.drop(infos[i]->bytes);
    }
    made.push_back(stored(std::move(parameter)));
    first = last;
  }
  return made;
}

}  // namespace minke
