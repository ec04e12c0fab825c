#pragma once
#include <string>
#include <vector>

#include "minke/runs/series.h"

namespace minke {

/// A line of a chart.
struct ChartLine {
  std::string label;
  int color = 0;              ///< of the page's palette: class "c0" to "c7"
  bool has_dots = false;      ///< few points, such as evaluations: each is marked
  bool is_smoothable = true;  ///< noisy: the page's choice of smoothing applies
  Series series;
};

/// Something that happened at a step, drawn as a vertical line.
struct ChartMark {
  double step = 0;
  std::string label;
};

/// Lines over the same steps, in one scale.
struct Chart {
  std::string title;
  std::string unit;
  std::vector<ChartLine> lines;
  std::vector<ChartMark> marks;
};

/// How strongly lines can be smoothed (smoothed()), with the names of their classes.
struct Smoothing {
  const char* id;
  const char* label;
  double weight;
};
inline constexpr Smoothing kSmoothings[] = {{"smooth0", "none", 0.0},
                                            {"smooth1", "a little", 0.6},
                                            {"smooth2", "more", 0.9},
                                            {"smooth3", "much", 0.98}};

/// A <figure> with the chart as inline SVG, which needs no script, and its points as JSON, from
/// which the page's script shows values under the pointer. Lines without values are left out; where
/// all are, the result is empty. The scale leaves out rare extremes that would flatten the rest,
/// and the caption then says so.
std::string chart_figure(const Chart& chart);

}  // namespace minke
