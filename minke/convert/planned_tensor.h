#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "minke/base/thread_pool.h"
#include "minke/format/weight_file.h"
#include "minke/format/weight_writer.h"

namespace minke {

/// A row of a tensor in a file; a vector is one row, a stack of matrices the rows of all.
struct SourceRow {
  const WeightInfo* source = nullptr;
  int64_t row = 0;
};

/// A tensor of the output and how it is made: from units of equal size that several threads make,
/// each on its own.
struct PlannedTensor {
  WeightDeclaration declaration;
  std::vector<const WeightInfo*> sources;  ///< what it is made from
  int64_t num_units = 0;
  /// Writes the bytes of one unit. Called from several threads.
  std::function<void(int64_t unit, std::byte* out)> make;
};

/// Whether elements can be converted, one by one, from one format to the other; a format can always
/// be copied. kUsage naming tensor and formats when not.
Result<void> check_retyping(const WeightInfo& source, DType dtype);

/// A tensor whose row r is row_of(r), in another format perhaps (check_retyping() holds). Rows of
/// one format are copied byte by byte, block formats included.
PlannedTensor gather_rows(WeightDeclaration declaration, std::vector<const WeightInfo*> sources,
                          std::function<SourceRow(int64_t)> row_of);
/// The same tensor under a name, in another format perhaps.
PlannedTensor same_rows(std::string name, DType dtype, const WeightInfo& source);

/// The transpose of a matrix under a name, in another format perhaps (check_retyping() holds, of
/// the matrix and of its transpose).
PlannedTensor transposed_matrix(std::string name, DType dtype, const WeightInfo& source);

/// Elements of `num_rows` rows from `row` on, decoded and appended to `out`.
void append_decoded(const WeightInfo& source, int64_t row, int64_t num_rows,
                    std::vector<float>& out);

/// What goes on while tensors are written.
struct WriteTensorsOptions {
  int num_threads = 1;
  /// Told the bytes written; false stops with kInterrupted. May be empty.
  std::function<bool(uint64_t done, uint64_t total)> progress;
};

/// Makes the tensors in order and gives them to the writer, whose declarations they were, then
/// finishes it. Memory is bounded by a chunk of 8 MiB, or a unit. Pages of the sources are dropped
/// after their last tensor.
Result<void> write_tensors(std::span<const PlannedTensor> tensors, const WeightFile& source,
                           const WriteTensorsOptions& options, WeightWriter& writer);

}  // namespace minke
