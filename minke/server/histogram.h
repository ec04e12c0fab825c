#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace minke {

/// Times by size, as Prometheus has them: of each bound how many were at most that.
struct Histogram {
  /// Seconds: from a token of a small model to the prompt of a large one.
  static constexpr std::array<double, 13> kBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,  0.5,    1.0,   2.5,  10.0,  60.0};

  std::array<int64_t, kBounds.size() + 1> counts{};  ///< of each bound's own; the last one: above
  double sum = 0;

  void add(double seconds) {
    const auto bound = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
    ++counts[static_cast<size_t>(bound - kBounds.begin())];
    sum += seconds;
  }
};

}  // namespace minke
