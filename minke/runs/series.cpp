#include "minke/runs/series.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace minke {

Series smoothed(const Series& series, double weight) {
  Series out{series.name, series.steps, {}};
  double sum = 0.0, weights = 0.0;
  for (const double value : series.values) {
    sum = weight * sum + (1.0 - weight) * value;
    weights = weight * weights + (1.0 - weight);
    out.values.push_back(sum / weights);
  }
  return out;
}

Series outlined(const Series& series, int buckets) {
  if (series.size() <= static_cast<size_t>(2 * buckets)) return series;
  Series out{series.name, {}, {}};
  const double first = series.steps.front();
  const double width = (series.steps.back() - first) / buckets;
  const auto bucket_of = [&](size_t i) {
    return std::min(static_cast<int>((series.steps[i] - first) / width), buckets - 1);
  };
  for (size_t begin = 0, end = 0; begin < series.size(); begin = end) {
    size_t low = begin, high = begin;
    for (end = begin; end < series.size() && bucket_of(end) == bucket_of(begin); ++end) {
      if (series.values[end] < series.values[low]) low = end;
      if (series.values[end] > series.values[high]) high = end;
    }
    for (const size_t i : {std::min(low, high), std::max(low, high)}) {
      out.add(series.steps[i], series.values[i]);
      if (low == high) break;
    }
  }
  return out;
}

size_t best_index(const Series& series, bool largest) {
  const auto& values = series.values;
  const auto best = largest ? std::max_element(values.begin(), values.end())
                            : std::min_element(values.begin(), values.end());
  return static_cast<size_t>(best - values.begin());
}

std::string sparkline(const Series& series, int columns) {
  if (series.size() == 0 || columns < 1) return "";
  const auto count = static_cast<int>(std::min<size_t>(series.size(), columns));
  std::vector<double> means(count);
  for (int i = 0; i < count; ++i) {
    const size_t begin = series.size() * i / count, end = series.size() * (i + 1) / count;
    for (size_t j = begin; j < end; ++j) means[i] += series.values[j];
    means[i] /= static_cast<double>(end - begin);
  }
  const auto [low, high] = std::minmax_element(means.begin(), means.end());
  static constexpr const char* kBlocks[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  std::string out;
  for (const double mean : means) {
    const double height = *high > *low ? (mean - *low) / (*high - *low) : 0.0;
    out += kBlocks[static_cast<int>(std::lround(height * 7.0))];
  }
  return out;
}

std::vector<double> ticks(double low, double high, int count) {
  std::vector<double> out;
  if (!(high > low) || count < 1) return {low};
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double apart = 10.0 * power;
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * 0.999) {
      apart = factor * power;
      break;
    }
  }
  const auto first = static_cast<int64_t>(std::ceil(low / apart - 1e-9));
  const auto last = static_cast<int64_t>(std::floor(high / apart + 1e-9));
  for (int64_t i = first; i <= last; ++i) out.push_back(static_cast<double>(i) * apart);
  return out;
}

std::string number_text(double value) {
  const double size = std::fabs(value);
  if (size >= 1e15 || (size > 0.0 && size < 1e-3)) return fmt::format("{:.3g}", value);
  if (size >= 1e9) return fmt::format("{:.4g} G", value / 1e9);
  if (size >= 1e6) return fmt::format("{:.4g} M", value / 1e6);
  if (size >= 1e4) return fmt::format("{:.4g} k", value / 1e3);
  return fmt::format("{:.4g}", value);
}

}  // namespace minke
