#include "minke/runs/run_record.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <unordered_map>

#include "minke/base/files.h"
#include "minke/runs/line_file.h"
#include "minke/runs/run_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

Json json_or_null(const fs::path& path) {
  const Result<std::string> text = read_file(path);
  return text ? parse_json(*text).value_or(Json()) : Json();
}

std::string text_of(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value != nullptr && value->is_string() ? value->as_string() : "";
}

double number_of(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  return value != nullptr && value->is_number() ? value->as_double() : 0.0;
}

// Calls body(object) for each whole line of text; returns how many were no objects.
template <class Body>
int64_t for_lines(std::string_view text, const Body& body) {
  int64_t num_bad = 0;
  for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string_view::npos;
       begin = end + 1) {
    const Result<Json> line = parse_json(text.substr(begin, end - begin));
    if (line && line->is_object()) {
      body(*line);
    } else {
      ++num_bad;
    }
  }
  return num_bad;
}

// The last bytes of a file, from the start of a line on.
std::string tail_of(const fs::path& path, int64_t bytes) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return "";
  const auto size = static_cast<int64_t>(file.tellg());
  const int64_t begin = std::max<int64_t>(0, size - bytes);
  file.seekg(begin);
  std::string text(static_cast<size_t>(size - begin), '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  return begin == 0 ? text : text.substr(std::min(text.find('\n'), text.size() - 1) + 1);
}

bool is_metric(const std::string& key, const Json& value) {
  return value.is_number() && key != "step" && key != "time" && std::isfinite(value.as_double());
}

void take_line(const Json& line, RunRecord& record, std::unordered_map<std::string, size_t>& at) {
  const int64_t step = step_of(line, 0);
  const std::string event = text_of(line, "event");
  if (!event.empty()) record.events.push_back({step, event, text_of(line, "message")});
  for (const auto& [key, value] : line.as_object()) {
    if (!is_metric(key, value)) continue;
    const auto [found, is_new] = at.try_emplace(key, record.series.size());
    if (is_new) record.series.push_back({key, {}, {}});
    record.series[found->second].add(static_cast<double>(step), value.as_double());
  }
}

std::vector<std::string> folders_in(const fs::path& parent) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(parent, error)) {
    if (entry.is_directory(error)) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Of a path that may end with a slash or be ".".
std::string folder_name(const fs::path& folder) {
  const fs::path whole = fs::absolute(folder).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

}  // namespace

const Series* RunRecord::find(std::string_view name) const {
  const auto found =
      std::find_if(series.begin(), series.end(), [&](const Series& s) { return s.name == name; });
  return found == series.end() ? nullptr : &*found;
}

Result<RunOverview> read_run_overview(const fs::path& folder) {
  const Result<std::string> text = read_file(folder / "config.json");
  if (!text) {
    return fail(ErrorCode::kNotFound, "{} holds no run (it has no config.json)", folder.string());
  }
  const Result<Json> config = parse_json(*text);
  if (!config || config->find("stage") == nullptr) {
    return fail(ErrorCode::kCorrupt, "{} is not the config.json of a run: {}",
                (folder / "config.json").string(),
                config ? "it has no 'stage'" : config.error().message);
  }
  RunOverview run;
  run.folder = folder;
  run.name = folder_name(folder);
  run.stage = text_of(*config, "stage");
  const Json status = json_or_null(folder / "status.json");
  run.state = text_of(status, "state");
  run.message = text_of(status, "message");
  run.updated = number_of(status, "time");
  run.step = step_of(status, 0);
  const fs::path metrics = folder / "metrics.jsonl";
  if (run.state == run_state_name(RunState::kRunning) && !line_file_in_use(metrics)) {
    run.state = run_state_name(RunState::kInterrupted);
    run.message = "its process ended without a word";
  }
  run.last = Json::object();
  constexpr int64_t kTailBytes = 1 << 16;  // some hundred lines, with an evaluation among them
  for_lines(tail_of(metrics, kTailBytes), [&](const Json& line) {
    run.step = std::max(run.step, step_of(line, 0));
    run.updated = std::max(run.updated, number_of(line, "time"));
    for (const auto& [key, value] : line.as_object()) {
      if (is_metric(key, value)) run.last.set(key, value);
    }
  });
  const Json environment = json_or_null(folder / "environment.json");
  const Json* sessions = environment.find("sessions");
  if (sessions != nullptr && sessions->is_array() && !sessions->as_array().empty()) {
    run.started = number_of(sessions->as_array().front(), "started");
  }
  return run;
}

Result<RunRecord> read_run(const fs::path& folder) {
  RunRecord record;
  MK_ASSIGN(record.overview, read_run_overview(folder));
  const Json config = json_or_null(folder / "config.json");
  if (const Json* settings = config.find("config")) record.config = *settings;
  const Json environment = json_or_null(folder / "environment.json");
  const Json* sessions = environment.find("sessions");
  if (sessions != nullptr && sessions->is_array()) record.sessions = sessions->as_array();
  std::unordered_map<std::string, size_t> at;
  record.num_bad_lines = for_lines(read_file(folder / "metrics.jsonl").value_or(""),
                                   [&](const Json& line) { take_line(line, record, at); });
  record.num_bad_lines += for_lines(read_file(folder / "samples.jsonl").value_or(""),
                                    [&](const Json& line) { record.samples.push_back(line); });
  record.checkpoints = folders_in(folder / "checkpoints");
  return record;
}

std::vector<RunOverview> list_runs(const fs::path& runs) {
  std::vector<RunOverview> found;
  for (const std::string& name : folders_in(runs)) {
    Result<RunOverview> run = read_run_overview(runs / name);
    if (run) found.push_back(std::move(*run));
  }
  std::stable_sort(found.begin(), found.end(), [](const RunOverview& a, const RunOverview& b) {
    return a.started > b.started;
  });
  return found;
}

}  // namespace minke
