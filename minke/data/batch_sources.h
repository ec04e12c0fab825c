#pragma once
#include <cstdint>
#include <memory>

#include "minke/base/result.h"
#include "minke/data/batch.h"
#include "minke/data/dataset.h"

namespace minke {

/// In which order rows come.
enum class BatchOrder : uint8_t {
  kShuffled,   ///< each pass in another order, by the seed
  kSampled,    ///< texts only: windows that begin anywhere, drawn with replacement, as nanoGPT does
  kAscending,  ///< for evaluation: as they lie; the last batch of a pass has the rows that are left
};

/// How batches are made of a data set.
struct BatchOptions {
  int64_t rows = 8;       ///< of a batch; pairs of a PairBatch
  int64_t seq_len = 512;  ///< most tokens of a row
  uint64_t seed = 0;
  BatchOrder order = BatchOrder::kShuffled;
  /// Texts: attention and positions begin anew at each document.
  bool separate_documents = false;
  /// Examples: several in a row, where they fit (best fit, longest first). Attention keeps them
  /// apart either way.
  bool pack = true;
};

/// What did not go into batches as it is.
struct LeftOut {
  int64_t truncated = 0;  ///< longer than seq_len: their ends are left out
  int64_t dropped = 0;    ///< no target within seq_len
};

/// Batches of texts (windows of seq_len + 1 tokens of the stream, each token a target once in a
/// pass) or of examples (rows of whole examples). kUsage for pairs, or when there is not enough for
/// one row.
Result<std::unique_ptr<BatchSource>> make_batches(TokenDataset dataset, const BatchOptions& options,
                                                  LeftOut* left_out = nullptr);

/// Batches of pairs; a pair of which one answer has no target within seq_len is left out. kUsage
/// for texts and examples, or when nothing is left.
Result<std::unique_ptr<PairSource>> make_pair_batches(TokenDataset dataset,
                                                      const BatchOptions& options,
                                                      LeftOut* left_out = nullptr);

}  // namespace minke
