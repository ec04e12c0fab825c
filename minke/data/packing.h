#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace minke {

/// Puts sequences into rows of at most `row_max` tokens: longest first, each into the fullest row
/// that has room (best fit decreasing), so that few rows are needed. Each length is 1 .. row_max.
/// Gives the indices of each row's sequences. A fixed function of its input; n log n.
std::vector<std::vector<int64_t>> pack_best_fit(std::span<const int64_t> lengths, int64_t row_max);

}  // namespace minke
