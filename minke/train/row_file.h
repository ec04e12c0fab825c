#pragma once
#include <filesystem>
#include <memory>

#include "minke/data/batch.h"

namespace minke {

/// The batches that a file of rows makes.
struct RowFileShape {
  int64_t batch = 0;  ///< rows of a step, B
  int64_t seq = 0;    ///< the most tokens of a row
  int64_t steps = 0;
  int64_t vocab_size = 0;
};

/// Examples in tokens, so that another program can train on the very same batches: JSON lines
///
///     {"input_ids": [1, 2, 3, 4], "labels": [-100, -100, 3, 4]}
///
/// with labels as Hugging Face has them: beside the token itself, -100 where it is not to be
/// learnt. Row r of step t (from 0) is line tB + r, a sequence of its own without padding; what
/// follows a row's last label is not read.
///
/// Errors: of reading the file; kUsage with file and line for a line that is not like that, has no
/// label, or has more than `seq` tokens to read, and for a file with less than steps * B lines.
Result<std::unique_ptr<BatchSource>> open_row_file(const std::filesystem::path& path,
                                                   const RowFileShape& shape);

}  // namespace minke
