#include "minke/runs/metric_table.h"

#include <algorithm>
#include <array>
#include <map>

namespace minke {
namespace {

struct MetricRow {
  std::string_view name;
  std::string_view title;
  std::string_view unit;
  Better better;
};

// In the order of the charts.
constexpr std::array kMetrics = {
    MetricRow{"loss", "Loss", "nats a token", Better::kSmaller},
    MetricRow{"perplexity", "Perplexity", "", Better::kSmaller},
    MetricRow{"bits_per_byte", "Bits per byte", "", Better::kSmaller},
    MetricRow{"accuracy", "Accuracy", "", Better::kLarger},
    MetricRow{"margin", "Margin of rewards", "nats", Better::kLarger},
    MetricRow{"grad_norm", "Gradient norm", "before clipping", Better::kNone},
    MetricRow{"lr", "Learning rate", "", Better::kNone},
    MetricRow{"learning_rate", "Learning rate", "", Better::kNone},
    MetricRow{"tokens_per_second", "Speed", "tokens/s", Better::kNone},
    MetricRow{"mfu", "Model FLOPs utilisation", "of the f32 peak", Better::kNone},
    MetricRow{"memory_bytes", "Memory", "bytes", Better::kNone},
};
constexpr std::array<std::string_view, 5> kCounters = {"tokens", "seconds", "epoch", "targets",
                                                       "flops"};

std::string_view base_of(std::string_view name) {
  return name.starts_with("val_") ? name.substr(4) : name;
}

size_t rank_of(std::string_view name) {
  const auto row = std::find_if(kMetrics.begin(), kMetrics.end(),
                                [&](const MetricRow& each) { return each.name == name; });
  return static_cast<size_t>(row - kMetrics.begin());
}

void flatten(const std::string& prefix, const Json& value,
             std::vector<std::pair<std::string, std::string>>& out) {
  if (value.is_object() && !value.as_object().empty()) {
    for (const auto& [key, member] : value.as_object()) {
      flatten(prefix.empty() ? key : prefix + "." + key, member, out);
    }
  } else if (!prefix.empty()) {
    out.emplace_back(prefix, value.is_string() ? value.as_string() : value.dump());
  }
}

}  // namespace

MetricInfo metric_info(const std::string& name) {
  const std::string_view base = base_of(name);
  const bool is_validation = base.size() != name.size();
  const size_t rank = rank_of(base);
  MetricInfo info;
  if (rank < kMetrics.size()) {
    info = {std::string(kMetrics[rank].title), std::string(kMetrics[rank].unit),
            kMetrics[rank].better};
  } else {
    const bool is_task = base.starts_with("task_");
    info.title = is_task ? fmt::format("Task {}", base.substr(5)) : std::string(base);
    if (is_task || base.find("accuracy") != std::string_view::npos) info.better = Better::kLarger;
  }
  if (is_validation) info.title += " (validation)";
  return info;
}

std::vector<MetricGroup> metric_groups(const std::vector<RunRecord>& runs) {
  std::vector<MetricGroup> groups;
  for (const RunRecord& run : runs) {
    for (const Series& series : run.series) {
      const std::string base(base_of(series.name));
      if (std::count(kCounters.begin(), kCounters.end(), base) > 0) continue;
      auto group = std::find_if(groups.begin(), groups.end(),
                                [&](const MetricGroup& each) { return each.name == base; });
      if (group == groups.end()) group = groups.insert(groups.end(), {base, {}});
      if (std::count(group->members.begin(), group->members.end(), series.name) == 0) {
        group->members.push_back(series.name);
      }
    }
  }
  for (MetricGroup& group : groups) std::sort(group.members.begin(), group.members.end());
  std::stable_sort(groups.begin(), groups.end(), [](const MetricGroup& a, const MetricGroup& b) {
    return rank_of(a.name) < rank_of(b.name);
  });
  return groups;
}

std::vector<std::pair<std::string, std::string>> flat_config(const Json& config) {
  std::vector<std::pair<std::string, std::string>> out;
  flatten("", config, out);
  return out;
}

std::vector<ConfigDifference> config_differences(const std::vector<RunRecord>& runs) {
  std::vector<std::string> keys;
  std::vector<std::map<std::string, std::string>> settings;
  for (const RunRecord& run : runs) {
    settings.emplace_back();
    for (auto& [key, value] : flat_config(run.config)) {
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
      settings.back().emplace(key, std::move(value));
    }
  }
  std::vector<ConfigDifference> differences;
  for (const std::string& key : keys) {
    ConfigDifference difference{key, {}};
    for (const auto& each : settings) {
      const auto found = each.find(key);
      difference.values.push_back(found == each.end() ? "-" : found->second);
    }
    const auto& values = difference.values;
    if (std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) != values.end()) {
      differences.push_back(std::move(difference));
    }
  }
  return differences;
}

}  // namespace minke
