#include "minke/cli/training_display.h"

#include <cstdio>

#include "minke/base/clock.h"
#include "minke/cli/progress.h"

namespace minke {
namespace {

constexpr double kLineSeconds = 10.0;  // between lines where there is no terminal
constexpr double kDrawSeconds = 0.1;

}  // namespace

TrainingHooks TrainingDisplay::hooks(const Interrupts& interrupts) {
  TrainingHooks hooks;
  hooks.on_step = [this](const StepNews& news) { step(news); };
  hooks.on_evaluation = [this](int64_t steps_done, const Evaluation& result) {
    evaluation(steps_done, result);
  };
  hooks.note = [this](const std::string& text) { note(text); };
  hooks.is_stop_wanted = [&interrupts] { return interrupts.count() > 0; };
  return hooks;
}

std::string TrainingDisplay::line(const StepNews& news) const {
  const StepReport& report = *news.report;
  std::string text = fmt::format("step {}/{}  loss {:.4f}  norm {:.3f}  lr {:.2e}  {:.0f} tokens/s",
                                 report.step + 1, options_.steps, report.loss, report.grad_norm,
                                 news.learning_rate, news.tokens_per_second);
  if (news.mfu > 0) text += fmt::format("  MFU {:.0f} %", 100 * news.mfu);
  for (const StepMetric& metric : report.metrics) {
    text += fmt::format("  {} {:.4f}", metric.name, metric.value);
  }
  return text + fmt::format("  {} left", duration_text(news.seconds_left));
}

void TrainingDisplay::step(const StepNews& news) {
  const StepReport& report = *news.report;
  if (options_.json) {
    Json line = Json::object({{"step", report.step},
                              {"loss", report.loss},
                              {"grad_norm", report.grad_norm},
                              {"learning_rate", news.learning_rate},
                              {"tokens", report.size.tokens},
                              {"seconds", news.seconds}});
    if (news.mfu > 0) line.set("mfu", news.mfu);
    if (news.is_skipped) line.set("skipped", true);
    for (const StepMetric& metric : report.metrics) line.set(metric.name, metric.value);
    console_.print("{}\n", line.dump());
    std::fflush(console_.out);
    return;
  }
  if (console_.quiet) return;
  const double now = seconds_now();
  const bool on_terminal = is_terminal(console_.err);
  const bool is_last = report.step + 1 == options_.steps;
  if (!is_last && told_at_ > 0 && now - told_at_ < (on_terminal ? kDrawSeconds : kLineSeconds)) {
    return;
  }
  told_at_ = now;
  if (!on_terminal) {
    console_.note("{}", line(news));
    return;
  }
  fmt::print(console_.err, "\r{}\x1b[K", line(news));
  std::fflush(console_.err);
  drawn_ = true;
}

void TrainingDisplay::evaluation(int64_t steps_done, const Evaluation& result) {
  if (options_.json) {
    Json line = Json::object({{"steps_done", steps_done}, {"val_loss", result.loss}});
    if (result.perplexity > 0) line.set("val_perplexity", result.perplexity);
    for (const StepMetric& metric : result.metrics) line.set(metric.name, metric.value);
    if (result.bits_per_byte > 0) line.set("val_bits_per_byte", result.bits_per_byte);
    console_.print("{}\n", line.dump());
    std::fflush(console_.out);
    return;
  }
  std::string text = fmt::format("after step {}: validation loss {:.4f}", steps_done, result.loss);
  if (result.perplexity > 0) text += fmt::format(", perplexity {:.3f}", result.perplexity);
  if (result.bits_per_byte > 0) text += fmt::format(", {:.4f} bits per byte", result.bits_per_byte);
  for (const StepMetric& metric : result.metrics) {
    text += fmt::format(", {} {:.4f}", metric.name, metric.value);
  }
  note(text);
}

void TrainingDisplay::note(const std::string& text) {
  clear();
  console_.note("{}", text);
}

void TrainingDisplay::clear() {
  if (!drawn_) return;
  fmt::print(console_.err, "\n");
  drawn_ = false;
}

}  // namespace minke
