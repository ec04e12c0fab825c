#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "minke/base/random.h"
#include "minke/data/batch_sources.h"
#include "minke/data/shuffle.h"

namespace minke {

/// Which of `count` rows a step takes.
struct RowOrder {
  int64_t count = 0;
  int64_t rows = 0;
  uint64_t seed = 0;
  BatchOrder order = BatchOrder::kShuffled;

  int64_t steps_per_epoch() const { return (count + rows - 1) / rows; }

  /// A row and the pass that it is taken in.
  struct Row {
    int64_t index = 0;
    int64_t epoch = 0;
  };

  /// Shuffled passes follow each other without a gap; ascending ones each begin with a batch.
  std::vector<Row> of_step(int64_t step) const {
    std::vector<Row> out;
    if (order == BatchOrder::kAscending) {
      const int64_t epoch = step / steps_per_epoch();
      const int64_t begin = step % steps_per_epoch() * rows;
      for (int64_t i = begin; i < std::min(begin + rows, count); ++i) out.push_back({i, epoch});
      return out;
    }
    for (int64_t i = step * rows; i < (step + 1) * rows; ++i) {
      const int64_t epoch = i / count;
      const uint64_t index =
          shuffled(static_cast<uint64_t>(i % count), static_cast<uint64_t>(count),
                   random_at(seed, static_cast<uint64_t>(epoch)));
      out.push_back({static_cast<int64_t>(index), epoch});
    }
    return out;
  }
};

}  // namespace minke
