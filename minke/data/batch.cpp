#include "minke/data/batch.h"

#include <algorithm>
#include <numeric>

#include "minke/base/check.h"

namespace minke {

int64_t TokenBatch::num_targets() const {
  return std::ranges::count_if(targets, [](int32_t target) { return target != kNoTarget; });
}

TokenBatch TokenBatch::rows(int64_t begin, int64_t end) const {
  MK_CHECK(0 <= begin && begin <= end && end <= num_rows(), "batch: rows {}..{} of {}", begin, end,
           num_rows());
  const auto row = row_lengths.begin();
  const int64_t first = std::accumulate(row, row + begin, int64_t{0});
  const int64_t last = std::accumulate(row + begin, row + end, first);
  TokenBatch part;
  part.seq_len = seq_len;
  part.tokens.assign(tokens.begin() + first, tokens.begin() + last);
  part.targets.assign(targets.begin() + first, targets.begin() + last);
  part.positions.assign(positions.begin() + first, positions.begin() + last);
  part.row_lengths.assign(row + begin, row + end);
  int64_t at = 0;
  for (const int32_t length : lengths) {
    if (first <= at && at < last) part.lengths.push_back(length);
    at += length;
  }
  return part;
}

void TokenBatch::append(const std::vector<int32_t>& ids, const std::vector<int32_t>& next,
                        bool begins_row) {
  MK_CHECK(!ids.empty() && ids.size() == next.size(), "batch: {} tokens with {} targets",
           ids.size(), next.size());
  MK_CHECK(begins_row || !row_lengths.empty(), "batch: a sequence before the first row");
  tokens.insert(tokens.end(), ids.begin(), ids.end());
  targets.insert(targets.end(), next.begin(), next.end());
  const auto length = static_cast<int32_t>(ids.size());
  for (int32_t i = 0; i < length; ++i) positions.push_back(i);
  lengths.push_back(length);
  if (begins_row) row_lengths.push_back(0);
  row_lengths.back() += length;
  seq_len = std::max(seq_len, int64_t{row_lengths.back()});
}

PairBatch PairBatch::pairs(int64_t begin, int64_t end) const {
  PairBatch part;
  part.chosen = chosen.rows(begin, end);
  part.rejected = rejected.rows(begin, end);
  part.indices.assign(indices.begin() + begin, indices.begin() + end);
  return part;
}

}  // namespace minke
