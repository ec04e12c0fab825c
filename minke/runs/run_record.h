#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/runs/series.h"

namespace minke {

/// Something that happened in a run: a line of metrics.jsonl with an "event".
struct RunEvent {
  int64_t step = 0;
  std::string kind;  ///< "spike", "nan", "rollback", ...
  std::string message;
};

/// How a run stands, without its metrics.
struct RunOverview {
  std::filesystem::path folder;
  std::string name;  ///< the folder's
  std::string stage;
  std::string state;  ///< a RunState's word; one whose process is gone is "interrupted"
  std::string message;
  int64_t step = 0;      ///< the last one that is known of
  double started = 0.0;  ///< unix seconds
  double updated = 0.0;
  Json last;  ///< the newest value of each metric
};

/// All that a run's folder tells (RunFolder).
struct RunRecord {
  RunOverview overview;
  Json config;
  Json::Array sessions;  ///< environments, the first one first
  std::vector<Series> series;
  std::vector<RunEvent> events;
  Json::Array samples;
  std::vector<std::string> checkpoints;  ///< names of the folders
  int64_t num_bad_lines = 0;             ///< lines of the metrics and samples that are no objects

  /// The series of that name, or nullptr.
  const Series* find(std::string_view name) const;
};

/// kNotFound when the folder holds no run, kCorrupt when its config.json cannot be read; what else
/// is missing or cut short is left out.
Result<RunOverview> read_run_overview(const std::filesystem::path& folder);
Result<RunRecord> read_run(const std::filesystem::path& folder);

/// The runs in `runs`, the newest first. Folders that hold none are passed over.
std::vector<RunOverview> list_runs(const std::filesystem::path& runs);

}  // namespace minke
