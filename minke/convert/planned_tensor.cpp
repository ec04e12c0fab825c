#include "minke/convert/planned_tensor.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "minke/base/utf8.h"
#include "minke/nn/mla.h"

namespace minke {
namespace {

constexpr int64_t kChunkBytes = int64_t{8} << 20;
constexpr int64_t kGrainBytes = int64_t{64} << 10;  // some 10 us of work for a thread

int64_t row_bytes(const WeightInfo& info) { return dtype_bytes(info.dtype, info.shape.back()); }

const std::byte* row_data(const WeightInfo& info, int64_t row) {
  return info.bytes.data() + row * row_bytes(info);
}

void convert_row(const SourceRow& from, DType dtype, std::byte* out) {
  const WeightInfo& source = *from.source;
  if (source.dtype == dtype && source.scales.bytes.empty()) {
    std::memcpy(out, row_data(source, from.row), static_cast<size_t>(row_bytes(source)));
    return;
  }
  std::vector<float> values;
  append_decoded(source, from.row, 1, values);
  dtype_info(dtype).encode(values.data(), source.shape.back() / dtype_info(dtype).block_size, out);
}

// Gives the writer a tensor chunk by chunk; false from `written` stops.
Result<void> write_tensor(const PlannedTensor& tensor, ThreadPool& pool,
                          std::vector<std::byte>& chunk, WeightWriter& writer,
                          const std::function<bool(int64_t)>& written) {
  const auto bytes = static_cast<int64_t>(tensor.declaration.bytes());
  if (bytes == 0) return {};
  const int64_t unit_bytes = bytes / tensor.num_units;
  const int64_t chunk_units = std::max<int64_t>(1, kChunkBytes / unit_bytes);
  const int64_t grain = std::max<int64_t>(1, kGrainBytes / unit_bytes);
  for (int64_t begin = 0; begin < tensor.num_units; begin += chunk_units) {
    const int64_t count = std::min(chunk_units, tensor.num_units - begin);
    chunk.resize(static_cast<size_t>(count * unit_bytes));
    pool.parallel_for(count, grain, [&](int64_t from, int64_t to, int) {
      for (int64_t i = from; i < to; ++i) {
        tensor.make(begin + i, chunk.data() + i * unit_bytes);
      }
    });
    MK_TRY(writer.write(chunk));
    if (!written(count * unit_bytes)) return fail(ErrorCode::kInterrupted, "{}", "");
  }
  return {};
}

}  // namespace

Result<void> check_retyping(const WeightInfo& source, DType dtype) {
  const bool possible = dtype_info(source.dtype).decode != nullptr &&
                        dtype_info(dtype).encode != nullptr &&
                        source.shape.back() % dtype_info(dtype).block_size == 0;
  if (source.dtype == dtype || possible) return {};
  return fail(ErrorCode::kUsage, "tensor '{}' {} is {}, which cannot be converted to {}",
              printable_name(source.name), source.shape.text(), dtype_info(source.dtype).name,
              dtype_info(dtype).name);
}

void append_decoded(const WeightInfo& source, int64_t row, int64_t num_rows,
                    std::vector<float>& out) {
  const int64_t count = num_rows * source.shape.back();
  const size_t begin = out.size();
  out.resize(begin + static_cast<size_t>(count));
  if (!source.scales.bytes.empty()) return decode_rows(source, row, num_rows, out.data() + begin);
  const DTypeInfo& info = dtype_info(source.dtype);
  info.decode(row_data(source, row), count / info.block_size, out.data() + begin);
}

PlannedTensor gather_rows(WeightDeclaration declaration, std::vector<const WeightInfo*> sources,
                          std::function<SourceRow(int64_t)> row_of) {
  const DType dtype = declaration.dtype;
  const int64_t rows = declaration.shape.num_rows();
  return {std::move(declaration), std::move(sources), rows,
          [dtype, row_of = std::move(row_of)](int64_t row, std::byte* out) {
            convert_row(row_of(row), dtype, out);
          }};
}

PlannedTensor same_rows(std::string name, DType dtype, const WeightInfo& source) {
  return gather_rows({std::move(name), dtype, source.shape}, {&source}, [&source](int64_t row) {
    return SourceRow{&source, row};
  });
}

PlannedTensor transposed_matrix(std::string name, DType dtype, const WeightInfo& source) {
  const int64_t rows = source.shape[0], cols = source.shape[1];
  // One unit: to read columns one by one costs more than the memory of a matrix.
  return {{std::move(name), dtype, {cols, rows}},
          {&source},
          1,
          [&source, dtype, rows, cols](int64_t, std::byte* out) {
            std::vector<float> values;
            append_decoded(source, 0, rows, values);
            const std::vector<float> turned = transposed(values, rows, cols);
            dtype_info(dtype).encode(turned.data(), rows * cols / dtype_info(dtype).block_size,
                                     out);
          }};
}

Result<void> write_tensors(std::span<const PlannedTensor> tensors, const WeightFile& source,
                           const WriteTensorsOptions& options, WeightWriter& writer) {
  std::map<const WeightInfo*, int> uses_left;
  for (const PlannedTensor& tensor : tensors) {
    for (const WeightInfo* info : tensor.sources) ++uses_left[info];
  }
  ThreadPool pool(options.num_threads);
  std::vector<std::byte> chunk;
  uint64_t done = 0;
  const auto written = [&](int64_t bytes) {
    done += static_cast<uint64_t>(bytes);
    return !options.progress || options.progress(done, writer.total_bytes());
  };
  for (const PlannedTensor& tensor : tensors) {
    MK_TRY(write_tensor(tensor, pool, chunk, writer, written));
    for (const WeightInfo* info : tensor.sources) {
      if (--uses_left[info] == 0) source.drop(info->bytes);
    }
  }
  return writer.finish();
}

}  // namespace minke
