#pragma once
#include <string>
#include <vector>

#include "minke/runs/run_record.h"

namespace minke {

/// Which values of a metric are good.
enum class Better { kNone, kSmaller, kLarger };

/// What a metric is called and how it reads.
struct MetricInfo {
  std::string title;
  std::string unit;
  Better better = Better::kNone;
};

/// Of a metric's key, such as "loss", "val_loss" or one of a trainer's own.
MetricInfo metric_info(const std::string& name);

/// Metrics that belong into one chart: a metric, and its "val_" one where there is.
struct MetricGroup {
  std::string name;
  std::vector<std::string> members;
};

/// The charts that these runs give, in the order in which one reads them: losses, then how the
/// training goes, then what it costs. Metrics that only count up (tokens, seconds) give none.
std::vector<MetricGroup> metric_groups(const std::vector<RunRecord>& runs);

/// A setting that differs between runs, with each run's value as JSON, "-" where there is none.
struct ConfigDifference {
  std::string key;  ///< of nested settings with dots
  std::vector<std::string> values;
};
std::vector<ConfigDifference> config_differences(const std::vector<RunRecord>& runs);

/// All settings, nested keys joined by dots, each value as JSON (text without quotes).
std::vector<std::pair<std::string, std::string>> flat_config(const Json& config);

}  // namespace minke
