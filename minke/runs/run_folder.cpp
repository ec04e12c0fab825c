#include "minke/runs/run_folder.h"

#include <array>
#include <chrono>
#include <ctime>

#include "minke/base/check.h"
#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/base/memory.h"
#include "minke/base/thread_pool.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<void> write_json(const fs::path& path, const Json& document) {
  return write_file_atomic(path, document.dump(2) + "\n");
}

// "model name" of /proc/cpuinfo, which ARM's has not.
std::string cpu_name() {
  const std::string text = read_file("/proc/cpuinfo").value_or("");
  const size_t at = text.find("model name");
  const size_t colon = at == std::string::npos ? at : text.find(": ", at);
  if (colon == std::string::npos) return "unknown";
  return text.substr(colon + 2, text.find('\n', colon) - colon - 2);
}

}  // namespace

const char* run_state_name(RunState state) {
  static constexpr std::array kNames = {"running", "finished", "interrupted", "failed"};
  return kNames[static_cast<size_t>(state)];
}

Result<RunFolder> RunFolder::open(const fs::path& folder) {
  MK_ASSIGN(LineFile metrics, LineFile::open(folder / "metrics.jsonl"));
  MK_ASSIGN(LineFile samples, LineFile::open(folder / "samples.jsonl"));
  return RunFolder(folder, std::move(metrics), std::move(samples));
}

Result<RunFolder> RunFolder::create(const fs::path& folder, const RunStart& start) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return fail(ErrorCode::kFailed, "cannot make the run's folder {}: {}", folder.string(),
                error.message());
  }
  if (fs::exists(folder / "config.json", error)) {
    return fail(ErrorCode::kUsage, "{} holds a run: resume it, or give another folder",
                folder.string());
  }
  MK_ASSIGN(RunFolder run, open(folder));
  MK_TRY(run.metrics_.cut_after(-1));  // what a start that failed may have left
  MK_TRY(run.samples_.cut_after(-1));
  MK_TRY(run.begin_session(start, 0));
  return run;
}

Result<RunFolder> RunFolder::resume(const fs::path& folder, const RunStart& start,
                                    int64_t last_step) {
  std::error_code error;
  if (!fs::exists(folder / "config.json", error)) {
    return fail(ErrorCode::kNotFound, "{} holds no run to resume (it has no config.json)",
                folder.string());
  }
  MK_ASSIGN(RunFolder run, open(folder));
  MK_TRY(run.metrics_.cut_after(last_step));
  MK_TRY(run.samples_.cut_after(last_step));
  MK_TRY(run.begin_session(start, last_step));
  return run;
}

Result<void> RunFolder::begin_session(const RunStart& start, int64_t from_step) {
  const fs::path path = folder_ / "environment.json";
  Json sessions = Json::array();
  const Result<Json> before = parse_json(read_file(path).value_or(""));
  const Json* earlier = before ? before->find("sessions") : nullptr;
  if (earlier != nullptr && earlier->is_array()) sessions = *earlier;
  Json session = start.environment;
  session.set("from_step", from_step);
  session.set("started", wall_seconds());
  sessions.push(std::move(session));
  MK_TRY(write_json(path, Json::object({{"sessions", std::move(sessions)}})));
  if (start.event_file) {
    MK_ASSIGN(EventFile events, EventFile::create(folder_, folder_ / "metrics.jsonl"));
    events_.emplace(std::move(events));
  }
  MK_TRY(set_status(RunState::kRunning, from_step));
  // Last, for it is what makes the folder a run's.
  return write_json(folder_ / "config.json",
                    Json::object({{"stage", start.stage}, {"config", start.config}}));
}

Result<void> RunFolder::add_metrics(Json metrics) {
  MK_CHECK(metrics.find("step") != nullptr && metrics.find("step")->is_int(),
           "add_metrics: no step in {}", metrics.dump());
  metrics.set("time", wall_seconds());
  MK_TRY(metrics_.append(metrics));
  return events_ ? events_->append(metrics) : Result<void>{};
}

Result<void> RunFolder::add_sample(Json sample) {
  MK_CHECK(sample.find("step") != nullptr, "add_sample: no step in {}", sample.dump());
  return samples_.append(sample);
}

Result<void> RunFolder::set_status(RunState state, int64_t step, const std::string& message) {
  return write_json(folder_ / "status.json", Json::object({{"state", run_state_name(state)},
                                                           {"step", step},
                                                           {"message", message},
                                                           {"time", wall_seconds()}}));
}

Result<void> RunFolder::sync() {
  MK_TRY(metrics_.sync());
  return samples_.sync();
}

fs::path default_runs_folder() { return folders_from_environment().state / "runs"; }

fs::path new_run_path(const fs::path& runs, std::string_view stage) {
  const std::time_t now = static_cast<std::time_t>(unix_seconds());
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  const std::string base =
      fmt::format("{}-{:04}{:02}{:02}-{:02}{:02}{:02}", stage, utc.tm_year + 1900, utc.tm_mon + 1,
                  utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
  fs::path path = runs / base;
  std::error_code error;
  for (int number = 2; fs::exists(path, error); ++number) {
    path = runs / fmt::format("{}-{}", base, number);
  }
  return path;
}

Json run_environment(int num_threads, const std::string& kernels, const std::string& command_line) {
  return Json::object({{"minke", MINKE_VERSION},
                       {"compiler", "g++ " __VERSION__},
                       {"command", command_line},
                       {"cpu", cpu_name()},
                       {"cpus", available_cpus()},
                       {"threads", num_threads},
                       {"kernels", kernels},
                       {"memory_bytes", meminfo_bytes("MemTotal")}});
}

}  // namespace minke
