#include "minke/runs/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "minke/base/json.h"
#include "minke/runs/html.h"

namespace minke {
namespace {

// The drawing, in units of its own; the page scales it to its column.
constexpr double kWidth = 640, kHeight = 280;
constexpr double kLeft = 62, kRight = 628, kTop = 12, kBottom = 248;
constexpr int kBuckets = 400;          // of a line: more could not be told apart in 566 units
constexpr size_t kSmoothableMin = 40;  // points; shorter lines are drawn as they are

struct Scale {
  double from = 0, to = 1;    // of the values
  double start = 0, end = 1;  // of the drawing
  double at(double value) const { return start + (value - from) / (to - from) * (end - start); }
};

struct Axes {
  Scale x, y;
  int64_t num_above = 0;  // values that are higher than the scale
};

// Widens an empty range, so that a constant has a place.
void widen(double& low, double& high) {
  if (high > low) return;
  const double margin = low == 0.0 ? 1.0 : 0.1 * std::fabs(low);
  low -= margin;
  high += margin;
}

Axes axes_of(const Chart& chart) {
  std::vector<double> values;
  double first = INFINITY, last = -INFINITY;
  for (const ChartLine& line : chart.lines) {
    values.insert(values.end(), line.series.values.begin(), line.series.values.end());
    first = std::min(first, line.series.steps.front());
    last = std::max(last, line.series.steps.back());
  }
  std::sort(values.begin(), values.end());
  double low = values.front(), high = values.back();
  // Where the highest hundredth would take half of the scale, the rest could hardly be read.
  const double usual = values[(values.size() - 1) * 99 / 100];
  Axes axes;
  if (values.size() >= 100 && high - usual > usual - low) {
    high = usual + 0.25 * (usual - low);
    axes.num_above = values.end() - std::upper_bound(values.begin(), values.end(), high);
  }
  widen(low, high);
  widen(first, last);
  const double margin = 0.04 * (high - low);
  axes.x = {first, last, kLeft, kRight};
  axes.y = {low - margin, high + margin, kBottom, kTop};
  return axes;
}

std::string path_of(const Series& series, const Axes& axes) {
  std::string path;
  for (size_t i = 0; i < series.size(); ++i) {
    // Far outside the drawing, where the clip path cuts it off.
    const double y = std::clamp(axes.y.at(series.values[i]), -kHeight, 2 * kHeight);
    path += fmt::format("{}{:.1f} {:.1f}", i == 0 ? "M" : "L", axes.x.at(series.steps[i]), y);
  }
  return path;
}

std::string grid(const Axes& axes) {
  std::string out = "<g class=\"grid\">";
  for (const double value : ticks(axes.y.from, axes.y.to, 5)) {
    const double y = axes.y.at(value);
    out +=
        fmt::format("<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>", kLeft, kRight, y, y);
    out += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>", kLeft - 8,
                       y + 4, number_text(value));
  }
  for (const double step : ticks(axes.x.from, axes.x.to, 6)) {
    out += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                       axes.x.at(step), kBottom + 20, number_text(step));
  }
  return out + "</g>";
}

std::string drawn_line(const ChartLine& line, const Axes& axes) {
  const Series& series = line.series;
  std::string out;
  if (!line.is_smoothable || series.size() < kSmoothableMin) {
    out += fmt::format("<path class=\"line c{}\" d=\"{}\"/>", line.color,
                       path_of(outlined(series, kBuckets), axes));
  } else {
    for (const Smoothing& smoothing : kSmoothings) {
      const Series smooth = outlined(smoothed(series, smoothing.weight), kBuckets);
      out += fmt::format("<path class=\"line c{} {}\" d=\"{}\"/>", line.color, smoothing.id,
                         path_of(smooth, axes));
    }
    out = fmt::format("<path class=\"raw c{}\" d=\"{}\"/>", line.color,
                      path_of(outlined(series, kBuckets), axes)) +
          out;
  }
  if (!line.has_dots || series.size() > 100) return out;
  for (size_t i = 0; i < series.size(); ++i) {
    out += fmt::format("<circle class=\"dot c{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\"/>",
                       line.color, axes.x.at(series.steps[i]), axes.y.at(series.values[i]));
  }
  return out;
}

std::string drawn_marks(const Chart& chart, const Axes& axes) {
  std::string out;
  for (const ChartMark& mark : chart.marks) {
    if (mark.step < axes.x.from || mark.step > axes.x.to) continue;
    const double x = axes.x.at(mark.step);
    out += fmt::format(
        "<line class=\"mark\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1}\" y2=\"{2}\">"
        "<title>{3}</title></line>",
        x, kTop, kBottom, html_text(mark.label));
  }
  return out;
}

// What the drawing shows, for those who hear it.
std::string in_words(const Chart& chart) {
  std::string out = chart.title;
  for (const ChartLine& line : chart.lines) {
    out += fmt::format("; {}: {} at step {:.0f}, {} at step {:.0f}", line.label,
                       number_text(line.series.values.front()), line.series.steps.front(),
                       number_text(line.series.values.back()), line.series.steps.back());
  }
  return out;
}

// JSON in a <script>, which ends at the first "</script" whatever it stands in.
std::string points_json(const Chart& chart) {
  Json::Array lines;
  for (const ChartLine& line : chart.lines) {
    const Series outline = outlined(line.series, kBuckets);
    Json::Array steps, values;
    for (size_t i = 0; i < outline.size(); ++i) {
      steps.emplace_back(outline.steps[i]);
      values.emplace_back(std::stod(fmt::format("{:.6g}", outline.values[i])));
    }
    lines.push_back(Json::object({{"label", line.label},
                                  {"color", line.color},
                                  {"steps", std::move(steps)},
                                  {"values", std::move(values)}}));
  }
  std::string text = Json(std::move(lines)).dump();
  for (size_t at = 0; (at = text.find('<', at)) != std::string::npos;) {
    text.replace(at, 1, "\\u003c");
  }
  return text;
}

std::string caption(const Chart& chart, const Axes& axes) {
  std::string out = fmt::format("<figcaption><h3>{}</h3>", html_text(chart.title));
  if (!chart.unit.empty())
    out += fmt::format("<span class=\"unit\">{}</span>", html_text(chart.unit));
  if (axes.num_above > 0) {
    out += fmt::format("<span class=\"unit\">above the scale: {}</span>", axes.num_above);
  }
  out += "<span class=\"legend\">";
  for (const ChartLine& line : chart.lines) {
    out += fmt::format("<span class=\"key\"><i class=\"swatch b{}\"></i>{} <b>{}</b></span>",
                       line.color, chart.lines.size() > 1 ? html_text(line.label) : "last",
                       number_text(line.series.values.back()));
  }
  return out + "</span></figcaption>";
}

}  // namespace

std::string chart_figure(const Chart& wanted) {
  Chart chart = wanted;
  std::erase_if(chart.lines, [](const ChartLine& line) { return line.series.size() == 0; });
  if (chart.lines.empty()) return "";
  const Axes axes = axes_of(chart);
  std::string out = fmt::format(
      "<figure class=\"chart\" data-from=\"{}\" data-to=\"{}\" data-left=\"{}\" data-right=\"{}\">"
      "{}<div class=\"plot\"><svg viewBox=\"0 0 {} {}\" role=\"img\" tabindex=\"0\" "
      "aria-label=\"{}\">{}",
      axes.x.from, axes.x.to, kLeft, kRight, caption(chart, axes), kWidth, kHeight,
      html_text(in_words(chart)), grid(axes));
  out += fmt::format(
      "<svg class=\"inner\" x=\"{0}\" y=\"{1}\" width=\"{2}\" height=\"{3}\" "
      "viewBox=\"{0} {1} {2} {3}\">",
      kLeft, kTop, kRight - kLeft, kBottom - kTop);
  out += drawn_marks(chart, axes);
  for (const ChartLine& line : chart.lines) out += drawn_line(line, axes);
  out += fmt::format("</svg><line class=\"cursor\" y1=\"{}\" y2=\"{}\"/></svg>", kTop, kBottom);
  out += fmt::format(
      "<div class=\"readout\" hidden=\"\"></div></div>"
      "<script type=\"application/json\">{}</script></figure>\n",
      points_json(chart));
  return out;
}

}  // namespace minke
