#include "minke/data/packing.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "minke/base/check.h"

namespace minke {

std::vector<std::vector<int64_t>> pack_best_fit(std::span<const int64_t> lengths, int64_t row_max) {
  std::vector<int64_t> order(lengths.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto length_of = [&](int64_t index) { return lengths[static_cast<size_t>(index)]; };
  std::ranges::stable_sort(order, std::greater<>(), length_of);

  std::vector<std::vector<int64_t>> rows;
  std::set<std::pair<int64_t, size_t>> room;  // (tokens left, row)
  for (const int64_t index : order) {
    const int64_t length = length_of(index);
    MK_CHECK(0 < length && length <= row_max, "packing: {} tokens into rows of {}", length,
             row_max);
    auto fit = room.lower_bound({length, 0});
    std::pair<int64_t, size_t> row = {row_max, rows.size()};
    if (fit != room.end()) {
      row = *fit;
      room.erase(fit);
    } else {
      rows.emplace_back();
    }
    rows[row.second].push_back(index);
    if (row.first > length) room.insert({row.first - length, row.second});
  }
  return rows;
}

}  // namespace minke
