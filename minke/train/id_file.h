#pragma once
#include <filesystem>
#include <memory>

#include "minke/data/batch.h"

namespace minke {

/// The batches that a file of token ids makes.
struct IdFileShape {
  int64_t batch = 0;  ///< rows of a step, B
  int64_t seq = 0;    ///< tokens of a row, S
  int64_t steps = 0;
  int64_t vocab_size = 0;
};

/// Token ids as text, separated by white space, commas or brackets, so that another program can
/// train on the very same batches: row r of step t reads the S + 1 ids from (t B + r) S on; a row's
/// last target is the next row's first token.
///
/// Errors: of reading the file; kUsage with file and line for what is no id of the vocabulary, and
/// for a file with less than steps * B * S + 1 ids.
Result<std::unique_ptr<BatchSource>> open_id_file(const std::filesystem::path& path,
                                                  const IdFileShape& shape);

}  // namespace minke
