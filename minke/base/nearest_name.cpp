#include "minke/base/nearest_name.h"

#include <fmt/core.h>

#include <algorithm>
#include <vector>

namespace minke {
namespace {

// Optimal string alignment distance, one table row per letter of `a`.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

}  // namespace

std::string nearest_name(std::string_view wanted, std::span<const std::string> names) {
  constexpr size_t kLettersMax = 128;  // the table is quadratic and `wanted` comes from outside
  if (wanted.empty() || wanted.size() > kLettersMax) return {};
  std::string best;
  size_t best_distance = SIZE_MAX;
  for (const std::string& name : names) {
    if (name.size() > kLettersMax) continue;
    // A shortened name ("smollm2" for "smollm2-135m") is as near as one typing error.
    const bool is_prefix = wanted.size() >= 3 && name.starts_with(wanted);
    const size_t distance = is_prefix ? 1 : edit_distance(wanted, name);
    const size_t allowed = std::max<size_t>(1, std::max(wanted.size(), name.size()) / 3);
    if (distance <= allowed && distance < best_distance) {
      best = name;
      best_distance = distance;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view wanted, std::span<const std::string> names) {
  const std::string name = nearest_name(wanted, names);
  return name.empty() ? std::string() : fmt::format(", did you mean {}?", name);
}

}  // namespace minke
