#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace minke {

/// A metric over the steps of a run, in their order; only finite values are in it.
struct Series {
  std::string name;
  std::vector<double> steps;
  std::vector<double> values;

  size_t size() const { return values.size(); }
  void add(double step, double value) {
    steps.push_back(step);
    values.push_back(value);
  }
};

/// The exponential moving average of the values, each divided by what the weights sum up to so far,
/// so that the beginning is not drawn to 0: weight 0 gives the values themselves.
Series smoothed(const Series& series, double weight);

/// The shape of a series in at most 2 * `buckets` points: of each bucket of equal width in steps
/// the smallest and the largest value, in their order, so that no peak is lost.
Series outlined(const Series& series, int buckets);

/// The index of the smallest value (of the largest, with `largest`); the series is not empty.
size_t best_index(const Series& series, bool largest);

/// Eight heights of blocks, `columns` of them, from the means of as many equal parts.
std::string sparkline(const Series& series, int columns);

/// Round numbers (1, 2 or 5 times a power of ten apart) within [low, high], about `count` of them.
std::vector<double> ticks(double low, double high, int count);

/// A value in about four digits, for people: "1.874", "3.2e-05", "12.3 k", "1.5 M".
std::string number_text(double value);

}  // namespace minke
