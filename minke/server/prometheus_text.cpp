#include "minke/server/prometheus_text.h"

#include <fmt/format.h>

#include <iterator>

namespace minke {

void PrometheusText::family(std::string_view name, std::string_view type, std::string_view help) {
  fmt::format_to(std::back_inserter(text_), "# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

void PrometheusText::sample(std::string_view name, std::string_view labels, int64_t value) {
  fmt::format_to(std::back_inserter(text_), "{}{{{}}} {}\n", name, labels, value);
}

void PrometheusText::counter(std::string_view name, std::string_view help, int64_t value) {
  family(name, "counter", help);
  fmt::format_to(std::back_inserter(text_), "{} {}\n", name, value);
}

void PrometheusText::gauge(std::string_view name, std::string_view help, double value) {
  family(name, "gauge", help);
  fmt::format_to(std::back_inserter(text_), "{} {}\n", name, value);
}

void PrometheusText::histogram(std::string_view name, std::string_view help,
                               const Histogram& histogram) {
  family(name, "histogram", help);
  const std::string bucket = fmt::format("{}_bucket", name);
  int64_t count = 0;
  for (size_t i = 0; i < Histogram::kBounds.size(); ++i) {
    count += histogram.counts[i];
    sample(bucket, fmt::format("le=\"{}\"", Histogram::kBounds[i]), count);
  }
  count += histogram.counts.back();
  sample(bucket, "le=\"+Inf\"", count);
  fmt::format_to(std::back_inserter(text_), "{0}_sum {1}\n{0}_count {2}\n", name, histogram.sum,
                 count);
}

}  // namespace minke
