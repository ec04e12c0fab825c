#include "minke/train/training_loop.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "minke/base/clock.h"

namespace minke {
namespace {

constexpr int64_t kRollbacksMax = 3;
constexpr double kSpeedMemory = 0.9;  // of the mean time of a step: about the last ten

}  // namespace

TrainingLoop::TrainingLoop(const TrainingConfig& config, const Schedule& schedule, Trainer& trainer,
                           TrainingTask task, RunFolder* run, TrainingHooks hooks)
    : config_(config),
      schedule_(schedule),
      trainer_(trainer),
      task_(std::move(task)),
      run_(run),
      hooks_(std::move(hooks)),
      checkpoints_(run != nullptr ? run->checkpoints() : std::filesystem::path()),
      guard_(config.spike),
      saved_at_(seconds_now()) {
  MK_CHECK(task_.objective != nullptr, "training: no objective");
  if (config.ema > 0) average_.emplace(config.ema);
}

Result<void> TrainingLoop::resume(const TrainerState& state) {
  const auto count = [&](const char* key, int64_t& field) {
    const Json* value = state.rest.find(key);
    if (value != nullptr && value->is_int()) field = value->as_int();
    return value != nullptr && value->is_int();
  };
  const Json* guard = state.rest.find("guard");
  const Json* best_loss = state.rest.find("best_loss");
  const Json* seconds = state.rest.find("seconds");
  if (!count("skipped_in_a_row", skipped_in_a_row_) || !count("skipped", summary_.skipped_steps) ||
      !count("rollbacks", summary_.rollbacks) || !count("best_step", summary_.best_step) ||
      !count("evaluations_without_better", evaluations_without_better_) || guard == nullptr ||
      best_loss == nullptr || !best_loss->is_number() || !count("tokens", tokens_) ||
      seconds == nullptr || !seconds->is_number()) {
    return fail(ErrorCode::kCorrupt, "the checkpoint of step {} lacks what the loop remembers",
                state.step);
  }
  summary_.best_loss = best_loss->as_double();
  seconds_ = seconds->as_double();
  MK_TRY(guard_.set_state(*guard));
  MK_TRY(trainer_.optimizer().load_state(trainer_.tensors(), state.optimizer));
  if (average_) {
    OptimizerState saved{0, state.tensors};
    if (!count("average_updates", saved.num_steps)) {
      return fail(ErrorCode::kCorrupt, "the checkpoint of step {} has no average of the weights",
                  state.step);
    }
    MK_TRY(average_->load_state(trainer_.tensors(), saved));
  }
  step_ = saved_step_ = state.step;
  summary_.checkpoint = checkpoints_.path_of(step_);
  return {};
}

Result<TrainingSummary> TrainingLoop::run() {
  while (step_ < config_.steps && !summary_.stopped_early) {
    MK_TRY(step());
    const bool is_last = step_ == config_.steps;
    const bool is_evaluation = config_.eval_every > 0 && step_ % config_.eval_every == 0;
    const int64_t best_before = summary_.best_step;
    if (task_.evaluate && (is_evaluation || is_last)) MK_TRY(evaluate());
    const bool is_stop_wanted = hooks_.is_stop_wanted && hooks_.is_stop_wanted();
    const bool is_end = is_last || summary_.stopped_early || is_stop_wanted;
    if (run_ != nullptr && (is_end || save_is_due() || summary_.best_step > best_before)) {
      MK_TRY(save());
    }
    if (is_stop_wanted && !is_last) {
      return fail(ErrorCode::kInterrupted, "stopped after step {} of {}", step_, config_.steps);
    }
  }
  summary_.steps = step_;
  if (run_ != nullptr && average_) MK_TRY(write_average());
  return summary_;
}

Result<void> TrainingLoop::step() {
  const double start = seconds_now();
  MK_ASSIGN(const StepReport report, trainer_.compute(*task_.objective, step_));
  StepNews news;
  news.report = &report;
  news.learning_rate = schedule_.rate(step_);
  MK_ASSIGN(const bool is_taken, take(report, news.learning_rate));
  news.is_skipped = !is_taken;
  ++step_;
  news.seconds = seconds_now() - start;
  seconds_per_step_ = seconds_per_step_ == 0
                          ? news.seconds
                          : kSpeedMemory * seconds_per_step_ + (1 - kSpeedMemory) * news.seconds;
  return tell(report, news);
}

Result<bool> TrainingLoop::take(const StepReport& report, double learning_rate) {
  const std::string objection = guard_.objection(report.loss, report.grad_norm);
  if (objection.empty()) {
    trainer_.apply(report, learning_rate);
    if (average_) average_->update(trainer_.device(), trainer_.tensors());
    guard_.remember(report.loss, report.grad_norm);
    summary_.loss = report.loss;
    skipped_in_a_row_ = 0;
    return true;
  }
  trainer_.drop();
  ++summary_.skipped_steps;
  MK_TRY(tell_event("skip", fmt::format("step {} is skipped: {}", report.step, objection)));
  if (++skipped_in_a_row_ >= config_.skips) MK_TRY(roll_back());
  return false;
}

Result<void> TrainingLoop::roll_back() {
  const std::string what = fmt::format("{} steps in a row were skipped", skipped_in_a_row_);
  if (saved_step_ < 0 || summary_.rollbacks >= kRollbacksMax) {
    return fail(
        ErrorCode::kFailed,
        "{} after step {}, and {}: the loss diverges; try a lower --lr, or look at the data", what,
        step_,
        saved_step_ < 0
            ? "there is no checkpoint to go back to"
            : fmt::format("{} returns to a checkpoint did not help", summary_.rollbacks));
  }
  const std::filesystem::path path = checkpoints_.path_of(saved_step_);
  MK_TRY(task_.read_weights(path));
  MK_ASSIGN(const TrainerState state, read_trainer_state(path));
  MK_TRY(trainer_.optimizer().load_state(trainer_.tensors(), state.optimizer));
  ++summary_.rollbacks;
  skipped_in_a_row_ = 0;
  return tell_event("rollback", fmt::format("{}: back to the weights of step {}, on with the data "
                                            "after step {}",
                                            what, saved_step_, step_));
}

Result<void> TrainingLoop::tell(const StepReport& report, StepNews news) {
  const auto tokens = static_cast<double>(report.size.tokens);
  news.tokens_per_second = tokens / seconds_per_step_;
  news.seconds_left = static_cast<double>(config_.steps - step_) * seconds_per_step_;
  if (task_.flops_per_second > 0) {
    news.mfu = news.tokens_per_second * task_.flops_per_token / task_.flops_per_second;
  }
  tokens_ += report.size.tokens;
  seconds_ += news.seconds;
  if (hooks_.on_step) hooks_.on_step(news);
  if (run_ == nullptr) return {};
  Json line = Json::object({{"step", step_},
                            {"loss", report.loss},
                            {"grad_norm", report.grad_norm},
                            {"learning_rate", news.learning_rate},
                            {"tokens", tokens_},
                            {"seconds", seconds_},
                            {"tokens_per_second", tokens / news.seconds}});
  if (news.mfu > 0) line.set("mfu", news.mfu);
  if (news.is_skipped) line.set("skipped", true);
  for (const StepMetric& metric : report.metrics) line.set(metric.name, metric.value);
  return run_->add_metrics(std::move(line));
}

Result<void> TrainingLoop::tell_event(const char* event, const std::string& text) const {
  if (hooks_.note) hooks_.note(text);
  if (run_ == nullptr) return {};
  return run_->add_metrics(Json::object({{"step", step_}, {"event", event}, {"message", text}}));
}

// Nothing where no step was taken yet.
void TrainingLoop::swap_average() {
  if (average_->state().num_steps == 0) return;
  average_->swap(trainer_.device(), trainer_.tensors());
  trainer_.weights_changed();
}

Result<Evaluation> TrainingLoop::evaluate_weights() {
  if (!average_) return task_.evaluate();
  swap_average();
  Result<Evaluation> result = task_.evaluate();
  swap_average();
  return result;
}

Result<void> TrainingLoop::write_average() {
  summary_.average = run_->folder() / "average";
  MK_ASSIGN(CheckpointWriter writer, CheckpointWriter::create(summary_.average));
  swap_average();
  const Result<void> written = task_.write_weights(writer.path());
  swap_average();
  MK_TRY(written);
  return writer.commit();
}

Result<void> TrainingLoop::evaluate() {
  MK_ASSIGN(const Evaluation result, evaluate_weights());
  summary_.evaluation = result;
  if (summary_.best_step < 0 || result.loss < summary_.best_loss) {
    summary_.best_step = step_;
    summary_.best_loss = result.loss;
    evaluations_without_better_ = 0;
  } else if (++evaluations_without_better_ >= config_.patience && config_.patience > 0) {
    summary_.stopped_early = true;
    MK_TRY(tell_event("early stop", fmt::format("stopped after step {}: {} evaluations without a "
                                                "better loss than {:.4f} of step {}",
                                                step_, evaluations_without_better_,
                                                summary_.best_loss, summary_.best_step)));
  }
  if (hooks_.on_evaluation) hooks_.on_evaluation(step_, result);
  if (run_ == nullptr) return {};
  Json line =
      Json::object({{"step", step_}, {"val_loss", result.loss}, {"val_targets", result.targets}});
  if (result.perplexity > 0) line.set("val_perplexity", result.perplexity);
  if (result.bits_per_byte > 0) line.set("val_bits_per_byte", result.bits_per_byte);
  for (const StepMetric& metric : result.metrics) line.set(metric.name, metric.value);
  for (Json sample : result.samples) {
    sample.set("step", step_);
    MK_TRY(run_->add_sample(std::move(sample)));
  }
  return run_->add_metrics(std::move(line));
}

bool TrainingLoop::save_is_due() const {
  const bool by_steps = config_.save_every > 0 && step_ % config_.save_every == 0;
  const bool by_time =
      config_.save_minutes > 0 && seconds_now() - saved_at_ >= 60 * config_.save_minutes;
  return by_steps || by_time;
}

Result<void> TrainingLoop::save() {
  TrainerState state;
  state.step = step_;
  state.optimizer = trainer_.optimizer().state();
  state.rest = Json::object({{"micro_batch", trainer_.options().micro_batch},
                             {"tokens", tokens_},
                             {"seconds", seconds_},
                             {"skipped_in_a_row", skipped_in_a_row_},
                             {"skipped", summary_.skipped_steps},
                             {"rollbacks", summary_.rollbacks},
                             {"best_step", summary_.best_step},
                             {"best_loss", summary_.best_loss},
                             {"evaluations_without_better", evaluations_without_better_},
                             {"guard", guard_.state()}});
  if (average_) {
    const OptimizerState average = average_->state();
    state.tensors = average.tensors;
    state.rest.set("average_updates", average.num_steps);
  }
  const std::filesystem::path path = checkpoints_.path_of(step_);
  MK_TRY(run_->sync());
  MK_ASSIGN(CheckpointWriter writer, CheckpointWriter::create(path));
  MK_TRY(task_.write_weights(writer.path()));
  MK_TRY(writer.write_state(state));
  MK_TRY(writer.commit());
  saved_step_ = step_;
  saved_at_ = seconds_now();
  summary_.checkpoint = path;
  checkpoints_.keep(config_.keep, {summary_.best_step});
  return run_->set_status(RunState::kRunning, step_);
}

}  // namespace minke
