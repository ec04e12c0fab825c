// Goal: a report is a whole HTML page that needs nothing beside it, has every curve, and lets no
// text of a run become markup. Method: runs are written with RunFolder, read back, and the page is
// taken apart by a small parser that knows that elements close in order.
#include "minke/runs/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>

#include "minke/runs/chart.h"
#include "minke/runs/html.h"
#include "minke/runs/metric_table.h"
#include "minke/runs/run_folder.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHostile = "</script><script>alert(1)</script><b a='\"'>&amp;";

RunRecord written_run(const fs::path& folder, double learning_rate) {
  RunStart start{.stage = "pretrain",
                 .config = Json::object({{"lr", learning_rate},
                                         {"note", kHostile},
                                         {"schedule", Json::object({{"warmup_steps", 3}})}}),
                 .environment = Json::object({{"command", "minke pretrain a.toml"}})};
  auto run = RunFolder::create(folder, start);
  EXPECT_TRUE(run) << run.error().message;
  for (int64_t step = 1; step <= 60; ++step) {
    const double at = static_cast<double>(step);
    EXPECT_TRUE(run->add_metrics(Json::object({{"step", step},
                                               {"loss", step == 7 ? NAN : 1.0 + 1.0 / at},
                                               {"lr", learning_rate},
                                               {"tokens", 100 * step}})));
    if (step % 20 == 0) {
      EXPECT_TRUE(run->add_metrics(Json::object({{"step", step}, {"val_loss", 2.0 - at / 100}})));
      EXPECT_TRUE(
          run->add_sample(Json::object({{"step", step}, {"prompt", "Once"}, {"text", kHostile}})));
    }
  }
  EXPECT_TRUE(
      run->add_metrics(Json::object({{"step", 41}, {"event", "spike"}, {"message", "loss rose"}})));
  EXPECT_TRUE(run->set_status(RunState::kFinished, 60));
  auto record = read_run(folder);
  EXPECT_TRUE(record) << record.error().message;
  return *record;
}

// Counts the elements of a page and checks that each closes in its order; what <script> and
// <style> hold is text.
struct Page {
  std::map<std::string, int> elements;
  std::string problem;

  explicit Page(const std::string& html) {
    for (size_t at = html.find('<'); at != std::string::npos && problem.empty();
         at = html.find('<', at)) {
      const size_t end = html.find('>', at);
      const std::string tag = html.substr(at + 1, end - at - 1);
      const std::string context = html.substr(at < 60 ? 0 : at - 60, 120);
      at = end == std::string::npos ? html.size() : end + 1;
      take(tag, context);
      if (tag.starts_with("script") || tag.starts_with("style")) {
        at = html.find("</" + tag.substr(0, tag.find(' ')), at);
      }
    }
    if (problem.empty() && !open_.empty()) problem = "not closed: " + open_.back();
  }

 private:
  void take(const std::string& tag, const std::string& context) {
    if (tag.starts_with("!")) return;
    if (tag.starts_with("/")) {
      if (open_.empty() || tag != "/" + open_.back()) {
        problem = "wrong end tag near " + context;
      } else {
        open_.pop_back();
      }
      return;
    }
    const std::string name = tag.substr(0, tag.find_first_of(" /"));
    ++elements[name];
    if (!tag.ends_with("/")) open_.push_back(name);
  }
  std::vector<std::string> open_;
};

TEST(ReportTest, IsAWholePageWithACurveForEachMetric) {
  const ScratchFolder scratch;
  const std::string html = report_html({written_run(scratch.path() / "first", 0.5)});
  Page page(html);
  EXPECT_EQ(page.problem, "");
  EXPECT_EQ(page.elements["figure"], 2) << "loss (with val_loss) and lr; tokens only count up";
  EXPECT_EQ(page.elements["svg"], 4) << "each with the clipped one inside";
  EXPECT_EQ(page.elements["circle"], 3) << "the evaluations";
  EXPECT_EQ(page.elements["script"], 3) << "the points of two charts, and the page's own";
  EXPECT_NE(html.find("<h1>first</h1>"), std::string::npos);
  EXPECT_NE(html.find("schedule.warmup_steps"), std::string::npos);
  EXPECT_NE(html.find("minke pretrain a.toml"), std::string::npos);
  EXPECT_NE(html.find("spike at step 41: loss rose"), std::string::npos);
  EXPECT_NE(html.find("<b>1.4</b><small>nats a token</small>"), std::string::npos)
      << "the last validation loss, which is the best";
}

TEST(ReportTest, NeedsNothingBesideItAndEscapesAllText) {
  const ScratchFolder scratch;
  const std::string html = report_html({written_run(scratch.path() / "a", 0.5)});
  for (const char* part : {"http://", "https://", " src=", "href=", "@import", "url("}) {
    EXPECT_EQ(html.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(html.find("alert(1)</script>"), std::string::npos);
  EXPECT_NE(html.find(html_text(kHostile)), std::string::npos);
  EXPECT_NE(html.find("prefers-color-scheme: dark"), std::string::npos);
}

TEST(ReportTest, TheScriptsPointsAreTheRunsValues) {
  const ScratchFolder scratch;
  const std::string html = report_html({written_run(scratch.path() / "a", 0.5)});
  const std::string open = "<script type=\"application/json\">";
  const size_t begin = html.find(open) + open.size();
  const auto points = parse_json(html.substr(begin, html.find("</script>", begin) - begin));
  ASSERT_TRUE(points) << points.error().message;
  const Json& loss = points->as_array()[0];
  EXPECT_EQ(loss.find("steps")->as_array().size(), 59u) << "a loss that is no number has no point";
  EXPECT_NEAR(loss.find("values")->as_array()[1].as_double(), 1.5, 1e-9);
  EXPECT_EQ(points->as_array()[1].find("label")->as_string(), "validation");
}

TEST(ReportTest, ComparesRunsByTheirCurvesAndTheSettingsThatDiffer) {
  const ScratchFolder scratch;
  const std::vector<RunRecord> runs = {written_run(scratch.path() / "a", 0.5),
                                       written_run(scratch.path() / "b", 0.25)};
  const std::vector<ConfigDifference> differences = config_differences(runs);
  ASSERT_EQ(differences.size(), 1u);
  EXPECT_EQ(differences[0].key, "lr");
  EXPECT_EQ(differences[0].values, (std::vector<std::string>{"0.5", "0.25"}));
  const std::string html = report_html(runs);
  EXPECT_EQ(Page(html).problem, "");
  EXPECT_NE(html.find("b (validation)"), std::string::npos);
  EXPECT_NE(html.find("<td>0.25</td>"), std::string::npos);
}

TEST(ReportTest, ARunWithoutAnyMetricsHasAReport) {
  const ScratchFolder scratch;
  ASSERT_TRUE(RunFolder::create(scratch.path() / "new", {.stage = "sft"}));
  const auto run = read_run(scratch.path() / "new");
  ASSERT_TRUE(run) << run.error().message;
  EXPECT_EQ(run->overview.state, "interrupted") << "nobody writes to it any more";
  EXPECT_EQ(Page(report_html({*run})).problem, "");
}

TEST(ChartTest, LeavesARareExtremeOutOfTheScaleAndSaysSo) {
  Series series{"loss", {}, {}};
  for (int i = 0; i < 300; ++i) series.add(i, i == 150 ? 1e6 : 1.0 + 0.001 * i);
  Chart chart{"Loss", "", {{"training", 0, false, true, series}}, {}};
  EXPECT_NE(chart_figure(chart).find("above the scale: 1<"), std::string::npos);
  chart.lines[0].series.values[150] = 1.3;
  EXPECT_EQ(chart_figure(chart).find("above the scale"), std::string::npos);
  chart.lines[0].series = {"loss", {5}, {0.25}};  // one point, an empty range
  EXPECT_EQ(Page(chart_figure(chart)).problem, "");
  chart.lines.clear();
  EXPECT_EQ(chart_figure(chart), "");
}

TEST(SeriesTest, AnOutlineKeepsPeaksInFewPoints) {
  Series series{"x", {}, {}};
  for (int i = 0; i < 5000; ++i) series.add(i, std::sin(0.01 * i));
  series.values[1234] = 9.0;
  series.values[4321] = -9.0;
  const Series outline = outlined(series, 50);
  EXPECT_LE(outline.size(), 100u);
  EXPECT_EQ(outline.values[best_index(outline, true)], 9.0);
  EXPECT_EQ(outline.steps[best_index(outline, false)], 4321.0);
  EXPECT_TRUE(std::is_sorted(outline.steps.begin(), outline.steps.end()));
}

TEST(SeriesTest, SmoothingIsAnAverageThatDoesNotStartAtZero) {
  const Series series{"x", {1, 2, 3}, {4, 8, 2}};
  const Series smooth = smoothed(series, 0.5);
  EXPECT_DOUBLE_EQ(smooth.values[0], 4.0);
  EXPECT_DOUBLE_EQ(smooth.values[1], (0.5 * 4 + 8) / 1.5);
  EXPECT_DOUBLE_EQ(smooth.values[2], (0.25 * 4 + 0.5 * 8 + 2) / 1.75);
  EXPECT_EQ(smoothed(series, 0.0).values, series.values);
}

TEST(SeriesTest, TicksAreRoundAndInside) {
  EXPECT_EQ(ticks(0.0, 10.0, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(ticks(-1.0, 1.0, 4), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_EQ(ticks(3.0, 3.0, 4), (std::vector<double>{3}));
  EXPECT_EQ(number_text(12345.0), "12.35 k");
  EXPECT_EQ(number_text(0.00002), "2e-05");
  EXPECT_EQ(sparkline({"x", {1, 2, 3}, {0, 7, 3}}, 9), "▁█▄");
}

TEST(RunRecordTest, ListsTheNewestFirstAndPassesOverWhatIsNoRun) {
  const ScratchFolder scratch;
  fs::create_directories(scratch.path() / "nothing");
  fs::create_directories(scratch.path() / "broken");
  std::ofstream(scratch.path() / "broken" / "config.json") << "{";
  written_run(scratch.path() / "old", 0.5);
  written_run(scratch.path() / "new", 0.5);
  const std::vector<RunOverview> runs = list_runs(scratch.path());
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].name, "new");
  EXPECT_EQ(runs[1].step, 60);
  EXPECT_DOUBLE_EQ(runs[0].last.find("val_loss")->as_double(), 1.4);
  EXPECT_EQ(read_run(scratch.path() / "broken").error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(read_run(scratch.path() / "nothing").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace minke
