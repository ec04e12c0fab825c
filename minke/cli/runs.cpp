#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>

#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/base/nearest_name.h"
#include "minke/cli/command.h"
#include "minke/runs/event_file.h"
#include "minke/runs/metric_table.h"
#include "minke/runs/report.h"
#include "minke/runs/run_folder.h"
#include "minke/runs/run_record.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr int kSparkColumns = 40;

std::string age_text(double unix_seconds) {
  if (!(unix_seconds > 0.0)) return "?";
  const double age = std::max(0.0, static_cast<double>(minke::unix_seconds()) - unix_seconds);
  if (age < 2 * 86400) return fmt::format("{} ago", span_text(age));
  return fmt::format("{:.0f} days ago", age / 86400);
}

Json overview_json(const RunOverview& run) {
  return Json::object({{"name", run.name},
                       {"folder", run.folder.string()},
                       {"stage", run.stage},
                       {"state", run.state},
                       {"message", run.message},
                       {"step", run.step},
                       {"started", run.started},
                       {"updated", run.updated},
                       {"last", run.last}});
}

// The index of the best value, where some are better than others.
std::optional<size_t> best_of(const Series& series) {
  const Better better = metric_info(series.name).better;
  if (better == Better::kNone) return std::nullopt;
  return best_index(series, better == Better::kLarger);
}

// First, last and best of each metric.
Json metrics_json(const RunRecord& run) {
  Json metrics = Json::object();
  for (const Series& series : run.series) {
    Json row = Json::object({{"count", static_cast<int64_t>(series.size())},
                             {"first", series.values.front()},
                             {"last", series.values.back()}});
    if (const std::optional<size_t> best = best_of(series)) {
      row.set("best", series.values[*best]);
      row.set("best_step", static_cast<int64_t>(series.steps[*best]));
    }
    metrics.set(series.name, std::move(row));
  }
  return metrics;
}

Json run_json(const RunRecord& run) {
  Json document = overview_json(run.overview);
  document.set("seconds", run_seconds(run));
  document.set("config", run.config);
  document.set("sessions", run.sessions);
  document.set("metrics", metrics_json(run));
  Json events = Json::array();
  for (const RunEvent& event : run.events) {
    events.push(
        Json::object({{"step", event.step}, {"event", event.kind}, {"message", event.message}}));
  }
  document.set("events", std::move(events));
  Json checkpoints = Json::array();
  for (const std::string& name : run.checkpoints) checkpoints.push(name);
  document.set("checkpoints", std::move(checkpoints));
  document.set("bad_lines", run.num_bad_lines);
  return document;
}

void print_run(const Console& console, const RunRecord& run) {
  const RunOverview& overview = run.overview;
  console.print("{}  {}, {}{}\n", overview.name, overview.stage, overview.state,
                overview.message.empty() ? "" : fmt::format(" ({})", overview.message));
  console.print("folder     {}\nbegun      {}\nsteps      {} in {}\n", overview.folder.string(),
                utc_text(overview.started), overview.step, span_text(run_seconds(run)));
  if (run.num_bad_lines > 0) console.note("{} lines cannot be read", run.num_bad_lines);
  console.print("\n{:<20} {:>10} {:>10} {:>10} {:>8}\n", "METRIC", "FIRST", "LAST", "BEST",
                "AT STEP");
  for (const Series& series : run.series) {
    const std::optional<size_t> best = best_of(series);
    console.print(
        "{:<20} {:>10} {:>10} {:>10} {:>8}  {}\n", series.name, number_text(series.values.front()),
        number_text(series.values.back()), best ? number_text(series.values[*best]) : "",
        best ? fmt::format("{:.0f}", series.steps[*best]) : "", sparkline(series, kSparkColumns));
  }
  for (const RunEvent& event : run.events) {
    console.print("\nstep {}: {}: {}", event.step, event.kind, event.message);
  }
  if (!run.events.empty()) console.print("\n");
  if (!run.checkpoints.empty()) console.print("\nCHECKPOINTS\n");
  for (const std::string& name : run.checkpoints) console.print("  {}\n", name);
  console.print("\nSETTINGS\n");
  for (const auto& [key, value] : flat_config(run.config)) console.print("  {} = {}\n", key, value);
}

// The metrics that all runs have, for a table.
std::vector<std::string> shared_metrics(const std::vector<RunRecord>& runs) {
  std::vector<std::string> names;
  for (const MetricGroup& group : metric_groups(runs)) {
    for (const std::string& name : group.members) {
      const bool all_have = std::all_of(runs.begin(), runs.end(), [&](const RunRecord& run) {
        return run.find(name) != nullptr;
      });
      if (all_have) names.push_back(name);
    }
  }
  return names;
}

// The largest |a - b| / |a| of a metric at the steps that both runs have; nothing without such.
Json largest_difference(const Series& a, const Series& b) {
  Json found;
  double largest = -1.0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a.steps[i] != b.steps[j]) {
      a.steps[i] < b.steps[j] ? ++i : ++j;
      continue;
    }
    const double difference =
        std::abs(a.values[i] - b.values[j]) / std::max(std::abs(a.values[i]), 1e-30);
    if (difference > largest) {
      largest = difference;
      found = Json::object({{"relative", difference}, {"step", static_cast<int64_t>(a.steps[i])}});
    }
    ++i;
    ++j;
  }
  return found;
}

Json comparison_json(const std::vector<RunRecord>& runs) {
  Json rows = Json::array();
  for (const RunRecord& run : runs) rows.push(run_json(run));
  Json settings = Json::object();
  for (const ConfigDifference& difference : config_differences(runs)) {
    Json values = Json::array();
    for (const std::string& value : difference.values) values.push(value);
    settings.set(difference.key, std::move(values));
  }
  Json differences = Json::object();
  for (const std::string& name : shared_metrics(runs)) {
    Json values = Json::array();
    for (size_t i = 1; i < runs.size(); ++i) {
      values.push(largest_difference(*runs[0].find(name), *runs[i].find(name)));
    }
    differences.set(name, std::move(values));
  }
  return Json::object({{"runs", std::move(rows)},
                       {"settings", std::move(settings)},
                       {"largest_differences", std::move(differences)}});
}

void print_comparison(const Console& console, const std::vector<RunRecord>& runs) {
  const auto print_row = [&](const std::string& name, const std::vector<std::string>& values) {
    console.print("{:<28}", name);
    for (const std::string& value : values) console.print("  {:>22}", value);
    console.print("\n");
  };
  const auto of_runs = [&](const auto& text_of) {
    std::vector<std::string> values;
    for (const RunRecord& run : runs) values.push_back(text_of(run));
    return values;
  };
  print_row("RUN", of_runs([](const RunRecord& run) { return run.overview.name; }));
  print_row("state", of_runs([](const RunRecord& run) { return run.overview.state; }));
  print_row("steps",
            of_runs([](const RunRecord& run) { return std::to_string(run.overview.step); }));
  print_row("time", of_runs([](const RunRecord& run) { return span_text(run_seconds(run)); }));
  for (const std::string& name : shared_metrics(runs)) {
    print_row(fmt::format("{} (last)", name), of_runs([&](const RunRecord& run) {
                return number_text(run.find(name)->values.back());
              }));
    if (metric_info(name).better == Better::kNone) continue;
    print_row(fmt::format("{} (best)", name), of_runs([&](const RunRecord& run) {
                const Series& series = *run.find(name);
                return number_text(series.values[*best_of(series)]);
              }));
  }
  for (const RunRecord& run : runs) {
    const Series* loss = run.find("loss");
    if (loss == nullptr) continue;
    console.print("{:<28}  {}\n", fmt::format("loss of {}", run.overview.name),
                  sparkline(*loss, kSparkColumns));
  }
  const std::vector<ConfigDifference> differences = config_differences(runs);
  console.print("\n{}\n",
                differences.empty() ? "the settings are the same" : "SETTINGS THAT DIFFER");
  for (const ConfigDifference& difference : differences) {
    print_row(difference.key, difference.values);
  }
}

class RunsCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional_choice("ACTION", action_, {"list", "show", "compare", "report", "events"},
                            "list the runs; show one; compare several; write a report of one or "
                            "several as HTML; write TensorBoard's event file of one");
    flags.rest("RUN", names_, "folders of runs, or their names; without one: the newest run");
    flags.add("runs", folder_, "the folder with the runs (default: that of minke's states)");
    flags.add("output,o", output_,
              "report: the file to write (default: report.html in the run's folder)");
    flags.add("json", json_, "one JSON document");
    flags.example("minke runs list");
    flags.example("minke runs report ./my-run -o report.html");
    flags.example("minke runs compare first second");
  }

  Result<void> run(const Console& console) override {
    runs_ = folder_.empty() ? default_runs_folder() : fs::path(folder_);
    if (action_ == "list") return list(console);
    std::vector<RunRecord> records;
    MK_ASSIGN(const std::vector<fs::path> folders, find_folders());
    for (const fs::path& folder : folders) {
      MK_ASSIGN(records.emplace_back(), read_run(folder));
    }
    if (action_ == "report") return report(console, records);
    if (action_ == "compare") {
      if (records.size() < 2) {
        return fail(ErrorCode::kUsage, "compare takes two runs or more, found {}", records.size());
      }
      json_ ? console.print_json(comparison_json(records)) : print_comparison(console, records);
      return {};
    }
    if (records.size() > 1) {
      return fail(ErrorCode::kUsage, "{} takes one run, found {}", action_, records.size());
    }
    if (action_ == "events") return write_events(console, records[0].overview.folder);
    json_ ? console.print_json(run_json(records[0])) : print_run(console, records[0]);
    return {};
  }

 private:
  Result<void> list(const Console& console) const {
    if (!names_.empty()) return fail(ErrorCode::kUsage, "list takes no run; see --runs FOLDER");
    const std::vector<RunOverview> runs = list_runs(runs_);
    if (json_) {
      Json rows = Json::array();
      for (const RunOverview& run : runs) rows.push(overview_json(run));
      console.print_json(Json::object({{"folder", runs_.string()}, {"runs", std::move(rows)}}));
      return {};
    }
    if (runs.empty()) {
      console.note("no runs in {}", runs_.string());
      return {};
    }
    size_t width = 4;
    for (const RunOverview& run : runs) width = std::max(width, run.name.size());
    console.print("{:<{}}  {:<8}  {:<11}  {:>8}  {:>8}  {:>8}  {}\n", "NAME", width, "STAGE",
                  "STATE", "STEP", "LOSS", "VAL_LOSS", "UPDATED");
    for (const RunOverview& run : runs) {
      const auto last = [&](const char* name) {
        const Json* value = run.last.find(name);
        return value == nullptr ? std::string("-") : number_text(value->as_double());
      };
      console.print("{:<{}}  {:<8}  {:<11}  {:>8}  {:>8}  {:>8}  {}\n", run.name, width, run.stage,
                    run.state, run.step, last("loss"), last("val_loss"), age_text(run.updated));
    }
    return {};
  }

  // A path to a run, or the name of one in runs_.
  Result<std::vector<fs::path>> find_folders() const {
    std::vector<fs::path> folders;
    std::error_code error;
    for (const std::string& name : names_) {
      const bool is_path = fs::is_directory(name, error);
      if (!is_path && !fs::is_directory(runs_ / name, error)) {
        std::vector<std::string> known;
        for (const RunOverview& run : list_runs(runs_)) known.push_back(run.name);
        return fail(ErrorCode::kNotFound, "no run '{}' here or in {}{}", name, runs_.string(),
                    did_you_mean(name, known));
      }
      folders.push_back(is_path ? fs::path(name) : runs_ / name);
    }
    if (!folders.empty()) return folders;
    const std::vector<RunOverview> runs = list_runs(runs_);
    if (runs.empty()) {
      return fail(ErrorCode::kNotFound, "no runs in {}: name a run's folder", runs_.string());
    }
    return std::vector<fs::path>{runs[0].folder};
  }

  Result<void> report(const Console& console, const std::vector<RunRecord>& records) const {
    fs::path path = output_;
    if (path.empty()) {
      path = records.size() == 1 ? records[0].overview.folder / "report.html"
                                 : fs::path("comparison.html");
    }
    MK_TRY(write_file_atomic(path, report_html(records)));
    if (json_) {
      console.print_json(Json::object({{"report", path.string()}}));
    } else {
      console.print("{}\n", path.string());
    }
    return {};
  }

  Result<void> write_events(const Console& console, const fs::path& folder) const {
    MK_TRY(EventFile::create(folder, folder / "metrics.jsonl"));
    if (json_) {
      console.print_json(Json::object({{"folder", folder.string()}}));
    } else {
      console.print("{}\n", folder.string());
    }
    return {};
  }

  std::string action_;
  std::vector<std::string> names_;
  std::string folder_;
  std::string output_;
  bool json_ = false;
  fs::path runs_;
};

}  // namespace

std::unique_ptr<Command> make_runs_command() { return std::make_unique<RunsCommand>(); }

}  // namespace minke
