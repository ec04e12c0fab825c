#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "minke/server/histogram.h"

namespace minke {

/// Writes Prometheus' text format 0.0.4: families of samples, one a line. Names, help and label
/// values are minke's own, so that nothing needs escaping.
class PrometheusText {
 public:
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

  /// A family with one sample. A counter's name ends with _total.
  void counter(std::string_view name, std::string_view help, int64_t value);
  void gauge(std::string_view name, std::string_view help, double value);
  /// name_bucket{le}, name_sum and name_count; buckets contain the ones before them.
  void histogram(std::string_view name, std::string_view help, const Histogram& histogram);
  /// A family whose samples sample() adds, for labels such as `layer="3"`.
  void family(std::string_view name, std::string_view type, std::string_view help);
  void sample(std::string_view name, std::string_view labels, int64_t value);

  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace minke
