#include "minke/runs/report.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <set>

#include "minke/base/clock.h"
#include "minke/runs/chart.h"
#include "minke/runs/html.h"
#include "minke/runs/line_file.h"
#include "minke/runs/metric_table.h"
#include "minke/runs/report_assets.h"

namespace minke {
namespace {

constexpr int kNumColors = 8;  // of the style

// With a comma every three digits; steps are not negative.
std::string grouped(int64_t number) {
  const std::string digits = fmt::format("{}", number);
  std::string text;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string tile(const std::string& name, const std::string& value, const std::string& note) {
  return fmt::format("<div class=\"tile\"><span>{}</span><b>{}</b><small>{}</small></div>",
                     html_text(name), html_text(value), html_text(note));
}

// The last value, and the best one where that is another.
std::string metric_tile(const RunRecord& run, const std::string& name) {
  const Series* series = run.find(name);
  if (series == nullptr || series->size() == 0) return "";
  const MetricInfo info = metric_info(name);
  const size_t best = best_index(*series, info.better == Better::kLarger);
  std::string note = info.unit;
  // The lowest loss of all batches tells of the batch; the lowest validation loss of the run.
  if (name != "loss" && best + 1 < series->size()) {
    note = fmt::format("best {} at step {}", number_text(series->values[best]),
                       grouped(static_cast<int64_t>(series->steps[best])));
  }
  return tile(info.title, number_text(series->values.back()), note);
}

double mean_of(const Series& series) {
  double sum = 0.0;
  for (const double value : series.values) sum += value;
  return sum / static_cast<double>(series.size());
}

std::string tiles(const RunRecord& run) {
  std::string out = "<section class=\"tiles\" aria-label=\"Figures\">";
  const std::vector<RunRecord> only = {run};
  std::vector<std::string> shown;
  for (const MetricGroup& group : metric_groups(only)) {
    const bool is_result = group.name == "loss" || group.name == "accuracy" ||
                           group.name == "bits_per_byte" || group.name.starts_with("task_");
    if (!is_result) continue;
    for (const std::string& name : group.members) out += metric_tile(run, name);
  }
  out +=
      tile("Steps", grouped(run.overview.step), fmt::format("in {}", span_text(run_seconds(run))));
  if (const Series* tokens = run.find("tokens"); tokens != nullptr && tokens->size() > 0) {
    out += tile("Tokens", number_text(tokens->values.back()), "seen so far");
  }
  if (const Series* speed = run.find("tokens_per_second"); speed != nullptr && speed->size() > 0) {
    out += tile("Speed", number_text(mean_of(*speed)), "tokens/s, mean over the steps");
  }
  if (const Series* mfu = run.find("mfu"); mfu != nullptr && mfu->size() > 0) {
    out += tile("MFU", fmt::format("{:.1f} %", 100 * mean_of(*mfu)), "mean over the steps");
  }
  if (const Series* memory = run.find("memory_bytes"); memory != nullptr && memory->size() > 0) {
    const double most = memory->values[best_index(*memory, true)];
    out += tile("Memory", fmt::format("{:.2f} GB", most / 1e9), "at the most");
  }
  return out + "</section>\n";
}

std::string standing(const RunOverview& run) {
  std::string out = fmt::format(
      "<p class=\"standing\"><span class=\"badge {0}\">{0}</span>step {1}, begun {2}, last heard "
      "of "
      "{3}",
      html_text(run.state), grouped(run.step), utc_text(run.started), utc_text(run.updated));
  if (!run.message.empty()) out += fmt::format(": {}", html_text(run.message));
  return out + "</p>\n";
}

std::vector<ChartMark> marks_of(const std::vector<RunRecord>& runs) {
  constexpr size_t kMarksMax = 100;  // more would hide the curves; the table has them all
  std::vector<ChartMark> marks;
  for (const RunRecord& run : runs) {
    for (const RunEvent& event : run.events) {
      if (marks.size() == kMarksMax) return marks;
      marks.push_back({static_cast<double>(event.step),
                       fmt::format("{} at step {}: {}", event.kind, event.step, event.message)});
    }
  }
  return marks;
}

std::string charts(const std::vector<RunRecord>& runs) {
  std::string out = "<section><h2>Curves</h2><p class=\"choices\">Smoothing:";
  for (const Smoothing& smoothing : kSmoothings) {
    out += fmt::format(" <label for=\"{}\">{}</label>", smoothing.id, smoothing.label);
  }
  out += "</p><div class=\"charts\">\n";
  for (const MetricGroup& group : metric_groups(runs)) {
    const MetricInfo info = metric_info(group.name);
    Chart chart{info.title, info.unit, {}, marks_of(runs)};
    for (size_t i = 0; i < runs.size(); ++i) {
      for (const std::string& name : group.members) {
        const Series* series = runs[i].find(name);
        if (series == nullptr) continue;
        const bool is_validation = name != group.name;
        const std::string part = is_validation ? "validation" : "training";
        ChartLine line{runs.size() == 1 ? part : runs[i].overview.name, 0, is_validation,
                       !is_validation && name != "lr" && name != "learning_rate", *series};
        if (runs.size() > 1 && is_validation) line.label += " (validation)";
        if (runs.size() == 1 && group.members.size() == 1) line.label = info.title;
        line.color = runs.size() == 1 ? (is_validation ? 1 : 0) : static_cast<int>(i) % kNumColors;
        chart.lines.push_back(std::move(line));
      }
    }
    out += chart_figure(chart);
  }
  return out + "</div></section>\n";
}

std::string events_table(const std::vector<RunRecord>& runs) {
  std::string rows;
  for (const RunRecord& run : runs) {
    for (const RunEvent& event : run.events) {
      rows += fmt::format("<tr><td class=\"number\">{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                          grouped(event.step), html_text(event.kind), html_text(event.message),
                          html_text(runs.size() > 1 ? run.overview.name : ""));
    }
  }
  if (rows.empty()) return "";
  return "<section><h2>What happened</h2><div class=\"card\"><table><tr><th>Step</th><th>Event</th>"
         "<th>Message</th><th></th></tr>" +
         rows + "</table></div></section>\n";
}

// Of the steps that have samples, four that are spread over the run.
std::vector<int64_t> sample_steps(const RunRecord& run) {
  std::set<int64_t> all;
  for (const Json& sample : run.samples) all.insert(step_of(sample, 0));
  const std::vector<int64_t> steps(all.begin(), all.end());
  std::set<int64_t> chosen;
  for (size_t i = 0; i < 4 && !steps.empty(); ++i) chosen.insert(steps[(steps.size() - 1) * i / 3]);
  return {chosen.begin(), chosen.end()};
}

std::string text_in(const Json& object, std::string_view key) {
  const Json* value = object.find(key);
  if (value == nullptr) return "";
  return value->is_string() ? value->as_string() : value->dump();
}

// What a heading says of whose part it is.
std::string of_run(const RunRecord& run, bool is_alone) {
  return is_alone ? "" : fmt::format(" of {}", html_text(run.overview.name));
}

std::string samples(const RunRecord& run, bool is_alone) {
  const std::vector<int64_t> steps = sample_steps(run);
  if (steps.empty()) return "";
  std::string out =
      fmt::format("<section><h2>Samples{}</h2><div class=\"card\">", of_run(run, is_alone));
  for (const int64_t step : steps) {
    out += fmt::format("<details{}><summary>Step {}</summary>",
                       step == steps.back() ? " open=\"\"" : "", grouped(step));
    for (const Json& sample : run.samples) {
      if (step_of(sample, 0) != step) continue;
      out += fmt::format("<pre><span class=\"prompt\">{}</span>{}</pre>",
                         html_text(text_in(sample, "prompt")), html_text(text_in(sample, "text")));
    }
    out += "</details>";
  }
  return out + "</div></section>\n";
}

std::string settings(const RunRecord& run, bool is_alone) {
  std::string rows;
  for (const auto& [key, value] : flat_config(run.config)) {
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", html_text(key),
                        html_text(value));
  }
  if (rows.empty()) return "";
  return fmt::format(
      "<section><h2>Settings{}</h2><div class=\"card\"><details{}><summary>All "
      "settings</summary><table>{}</table></details></div></section>\n",
      of_run(run, is_alone), is_alone ? " open=\"\"" : "", rows);
}

std::string machine(const RunRecord& run, bool is_alone) {
  if (run.sessions.empty()) return "";
  std::string rows;
  for (const auto& [key, value] : run.sessions.back().as_object()) {
    if (key == "command") continue;
    const bool is_time = key == "started" && value.is_number();
    rows += fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", html_text(key),
                        is_time ? utc_text(value.as_double())
                                : html_text(value.is_string() ? value.as_string() : value.dump()));
  }
  std::string commands;
  for (const Json& session : run.sessions) {
    const std::string command = text_in(session, "command");
    if (!command.empty()) commands += html_text(command) + "\n";
  }
  std::string checkpoints;
  for (const std::string& name : run.checkpoints) checkpoints += html_text(name) + "\n";
  std::string out = fmt::format("<section><h2>Machine and commands{}</h2><div class=\"card\">",
                                of_run(run, is_alone));
  if (!commands.empty()) out += fmt::format("<pre>{}</pre>", commands);
  out += fmt::format("<table>{}</table>", rows);
  if (!checkpoints.empty()) {
    out += fmt::format("<details><summary>{} checkpoints</summary><pre>{}</pre></details>",
                       run.checkpoints.size(), checkpoints);
  }
  return out + "</div></section>\n";
}

std::string last_text(const RunRecord& run, const std::string& name) {
  const Series* series = run.find(name);
  return series == nullptr || series->size() == 0 ? "" : number_text(series->values.back());
}

std::string best_text(const RunRecord& run, const std::string& name) {
  const Series* series = run.find(name);
  if (series == nullptr || series->size() == 0) return "";
  return number_text(
      series->values[best_index(*series, metric_info(name).better == Better::kLarger)]);
}

std::string comparison(const std::vector<RunRecord>& runs) {
  std::string out =
      "<section><h2>Runs</h2><div class=\"card\"><table><tr><th>Run</th><th>State</th>"
      "<th>Steps</th><th>Loss</th><th>Best validation loss</th><th>Tokens/s</th><th>Time</th></tr>";
  for (size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& run = runs[i];
    const Series* speed = run.find("tokens_per_second");
    out += fmt::format(
        "<tr><td><i class=\"swatch b{}\"></i>{}</td><td>{}</td><td class=\"number\">{}</td>"
        "<td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td>"
        "<td class=\"number\">{}</td></tr>",
        i % kNumColors, html_text(run.overview.name), html_text(run.overview.state),
        grouped(run.overview.step), last_text(run, "loss"), best_text(run, "val_loss"),
        speed != nullptr && speed->size() > 0 ? number_text(mean_of(*speed)) : "",
        span_text(run_seconds(run)));
  }
  out += "</table></div></section>\n";
  const std::vector<ConfigDifference> differences = config_differences(runs);
  if (differences.empty()) return out + "<p>The runs have the same settings.</p>\n";
  out += "<section><h2>Settings that differ</h2><div class=\"card\"><table><tr><th>Setting</th>";
  for (const RunRecord& run : runs) out += fmt::format("<th>{}</th>", html_text(run.overview.name));
  out += "</tr>";
  for (const ConfigDifference& difference : differences) {
    out += fmt::format("<tr><th scope=\"row\">{}</th>", html_text(difference.key));
    for (const std::string& value : difference.values) {
      out += fmt::format("<td>{}</td>", html_text(value));
    }
    out += "</tr>";
  }
  return out + "</table></div></section>\n";
}

std::string head(const std::string& title) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"/>"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'\"/>"
      "<title>{}</title><style>{}</style></head><body>\n",
      html_text(title), kReportStyle);
  for (const Smoothing& smoothing : kSmoothings) {
    out += fmt::format(
        "<input class=\"choice\" type=\"radio\" name=\"smoothing\" id=\"{}\" "
        "aria-label=\"Smoothing: {}\"{}/>",
        smoothing.id, smoothing.label, smoothing.weight == 0.9 ? " checked=\"\"" : "");
  }
  return out + "<main>\n";
}

}  // namespace

std::string utc_text(double unix_seconds) {
  if (!(unix_seconds > 0.0)) return "?";
  const auto whole = static_cast<std::time_t>(unix_seconds);
  std::tm utc{};
  ::gmtime_r(&whole, &utc);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

std::string span_text(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{}:{:02} min", whole / 60, whole % 60);
  return fmt::format("{}:{:02} h", whole / 3600, whole / 60 % 60);
}

double run_seconds(const RunRecord& run) {
  const Series* seconds = run.find("seconds");
  if (seconds != nullptr && seconds->size() > 0) return seconds->values.back();
  return run.overview.updated - run.overview.started;
}

std::string report_html(const std::vector<RunRecord>& runs) {
  const bool is_alone = runs.size() == 1;
  std::string title = is_alone ? runs[0].overview.name : fmt::format("{} runs", runs.size());
  std::string out = head(title);
  out += fmt::format("<header><p class=\"kicker\">minke {}</p><h1>{}</h1>",
                     is_alone ? html_text(runs[0].overview.stage) : "comparison", html_text(title));
  if (is_alone) out += standing(runs[0].overview);
  out += "</header>\n";
  out += is_alone ? tiles(runs[0]) : comparison(runs);
  out += charts(runs) + events_table(runs);
  for (const RunRecord& run : runs) {
    out += samples(run, is_alone) + settings(run, is_alone) + machine(run, is_alone);
  }
  out += fmt::format(
      "</main><footer>Made by minke {} on {}. All numbers are in the run's "
      "metrics.jsonl.</footer><script>{}</script></body></html>\n",
      MINKE_VERSION, utc_text(static_cast<double>(unix_seconds())), kReportScript);
  return out;
}

}  // namespace minke
