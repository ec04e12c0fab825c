#pragma once
#include <cstdint>
#include <vector>

#include "minke/base/result.h"

namespace minke {

/// In TokenBatch::targets: nothing is to be predicted here.
inline constexpr int32_t kNoTarget = -1;

/// What a step trains on: rows of at most `seq_len` tokens, one after the other without padding. A
/// row holds one or several sequences (documents, packed examples), which attention keeps apart:
///
///     row_lengths   5            4            one entry a row, the sum is num_tokens()
///     lengths       3     2      4            one a sequence, none reaches over a row's end
///     tokens        a b c d e    f g h i      [num_tokens]
///     targets       b c - e -    g h i j      [num_tokens] what follows; "-" is kNoTarget
///     positions     0 1 2 0 1    0 1 2 3      [num_tokens] within the sequence
///
/// Pretraining's rows are all full, so that there num_tokens() = num_rows() * seq_len.
struct TokenBatch {
  int64_t seq_len = 0;
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
  std::vector<int32_t> positions;
  std::vector<int32_t> lengths;
  std::vector<int32_t> row_lengths;

  int64_t num_rows() const { return static_cast<int64_t>(row_lengths.size()); }
  int64_t num_tokens() const { return static_cast<int64_t>(tokens.size()); }
  /// How many tokens have a target: what the loss of a batch is divided by.
  int64_t num_targets() const;
  /// Rows [begin, end) alone: a micro-batch.
  TokenBatch rows(int64_t begin, int64_t end) const;
  /// Adds a sequence; a new row begins with `begins_row`. The first is position 0.
  void append(const std::vector<int32_t>& ids, const std::vector<int32_t>& next, bool begins_row);
};

/// Batches as a pure function of the step, so that a resumed run needs to know its step and nothing
/// else. One thread at a time.
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  /// The batch of step 0, 1, ...; passes over the data follow each other, each in another order.
  /// Errors: of files that changed or hold ids that are no tokens (kCorrupt).
  virtual Result<TokenBatch> batch(int64_t step) const = 0;
  /// How many steps one pass takes, at least 1; the last may reach into the next pass.
  virtual int64_t steps_per_epoch() const = 0;
};

/// Pairs of answers for preference training: row i of both is pair i, one sequence a row, and the
/// targets are those of the answer alone.
struct PairBatch {
  TokenBatch chosen;
  TokenBatch rejected;
  std::vector<int64_t> indices;  ///< of each pair in the data: the key of cached log-probabilities

  int64_t num_pairs() const { return chosen.num_rows(); }
  /// Pairs [begin, end) alone.
  PairBatch pairs(int64_t begin, int64_t end) const;
};

/// As BatchSource, of pairs.
class PairSource {
 public:
  virtual ~PairSource() = default;
  virtual Result<PairBatch> batch(int64_t step) const = 0;
  virtual int64_t steps_per_epoch() const = 0;
};

}  // namespace minke
