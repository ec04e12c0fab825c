#include "minke/cli/training_run.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "minke/base/memory.h"
#include "minke/cli/machine_limits.h"
#include "minke/cli/progress.h"
#include "minke/cli/training_display.h"
#include "minke/train/memory_plan.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

std::string command_line() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::string line((std::istreambuf_iterator<char>(file)), {});
  if (line.ends_with('\0')) line.pop_back();
  std::replace(line.begin(), line.end(), '\0', ' ');
  return line;
}

// One short measurement: MFU is told in whole percents.
double peak_flops(const Device& device) {
  double best = 0;
  LimitsOptions options;
  options.repeats = 1;
  options.seconds_per_run = 0.02;
  for (const PeakRate& peak : measure_peaks(device.pool(), options)) {
    if (peak.kind == Precision::kF32) best = std::max(best, peak.ops_per_second);
  }
  return best;
}

// What may be taken: as wanted, or what is free and what the weights have taken already.
uint64_t budget_bytes(const TrainingConfig& config, const Trainer& trainer) {
  if (config.memory_gb > 0) return static_cast<uint64_t>(config.memory_gb * 1e9);
  const uint64_t available = available_memory().bytes;
  if (available == 0) return 0;
  uint64_t weights = 0;
  for (const Parameter& parameter : trainer.store().parameters()) {
    weights +=
        static_cast<uint64_t>(dtype_bytes(parameter.value.dtype(), parameter.value.num_elements()));
  }
  return available + weights;
}

Json plan_json(const MemoryPlan& plan, const TrainingTask& task, const TrainingConfig& config,
               int64_t unit_tokens) {
  const double flops =
      task.flops_per_token * static_cast<double>(unit_tokens) * static_cast<double>(config.batch);
  return Json::object({{"parameters", plan.num_parameters},
                       {"trained_parameters", plan.num_trained},
                       {"weight_bytes", plan.weight_bytes},
                       {"gradient_bytes", plan.gradient_bytes},
                       {"optimizer_bytes", plan.optimizer_bytes},
                       {"average_bytes", plan.average_bytes},
                       {"row_bytes", plan.row_bytes},
                       {"total_bytes", plan.total_bytes},
                       {"budget_bytes", plan.budget_bytes},
                       {"micro_batch", plan.micro_batch},
                       {"flops_per_step", flops},
                       {"flops", flops * static_cast<double>(config.steps)},
                       {"seconds_per_step", plan.seconds_per_step},
                       {"seconds", plan.seconds_per_step * static_cast<double>(config.steps)}});
}

void print_plan(const Console& console, const Json& plan, const TrainingConfig& config) {
  const auto number = [&](const char* key) { return plan.find(key)->as_double(); };
  const auto bytes = [&](const char* key) { return bytes_text(number(key)); };
  console.print("parameters   {:.4g} million, {:.4g} million of them trained\n",
                number("parameters") * 1e-6, number("trained_parameters") * 1e-6);
  console.print("memory       {} of {}\n", bytes("total_bytes"), bytes("budget_bytes"));
  console.print("  weights    {}\n  gradients  {}\n  optimizer  {}\n", bytes("weight_bytes"),
                bytes("gradient_bytes"), bytes("optimizer_bytes"));
  if (number("average_bytes") > 0) console.print("  average    {}\n", bytes("average_bytes"));
  console.print("  a row      {}, {} of {} at once\n", bytes("row_bytes"),
                plan.find("micro_batch")->as_int(), config.batch);
  console.print("operations   {:.4g} GFLOP a step, {:.4g} TFLOP in all\n",
                number("flops_per_step") * 1e-9, number("flops") * 1e-12);
  console.print("time         about {:.3g} s a step, {} for {} steps\n", number("seconds_per_step"),
                duration_text(number("seconds")), config.steps);
}

// The one that the run had, since bits depend on it; or as wanted; or by the plan. 0 after a plan
// that was only to be told.
Result<int64_t> choose_micro_batch(const Console& console, const TrainingFlags& flags,
                                   const TrainingConfig& config, Trainer& trainer,
                                   const TrainingStage& stage, const TrainingStart& start) {
  int64_t wanted = config.micro_batch;
  if (wanted == 0 && start.state) {
    const Json* saved = start.state->rest.find("micro_batch");
    if (saved != nullptr && saved->is_int()) wanted = std::max<int64_t>(0, saved->as_int());
  }
  if (wanted > 0 && !flags.dry_run) return wanted;
  MemoryPlanOptions options;
  options.micro_batch = wanted;
  options.unit_tokens = stage.unit_tokens;
  options.budget_bytes = budget_bytes(config, trainer);
  options.has_average = config.ema > 0;
  MK_ASSIGN(const MemoryPlan plan, plan_memory(trainer, *stage.task.objective, options));
  if (!flags.dry_run) return plan.micro_batch;
  const Json json = plan_json(plan, stage.task, config, stage.unit_tokens);
  if (flags.json) {
    console.print_json(json);
  } else {
    print_plan(console, json, config);
  }
  return 0;
}

Result<RunFolder> open_run(const TrainingFlags& flags, const TrainingConfig& config,
                           const Device& device, const TrainingStage& stage, int64_t step) {
  RunStart start{
      flags.stage(), stage.config,
      run_environment(device.pool().num_threads(), cpu_level_name(device.level()), command_line()),
      config.tensorboard};
  const fs::path path = flags.run_path();
  if (flags.is_resumed()) return RunFolder::resume(path, start, step);
  return RunFolder::create(path, start);
}

// How the run stands now, in its folder and for people.
Result<void> conclude(const Console& console, const TrainingFlags& flags, RunFolder* run,
                      Result<TrainingSummary> result, int64_t step) {
  if (run == nullptr) {
    if (!result) return pass_on(result);
    return {};
  }
  const std::string folder = run->folder().string();
  if (!result) {
    Error error = result.error();
    const bool is_interrupted = error.code == ErrorCode::kInterrupted;
    // A full disk may refuse this line too; the error that is told is the first one.
    (void)run->set_status(is_interrupted ? RunState::kInterrupted : RunState::kFailed, step,
                          error.message);
    error.message += fmt::format("; go on with: minke {} --resume {}", flags.stage(), folder);
    return tl::unexpected<Error>(std::move(error));
  }
  MK_TRY(run->set_status(RunState::kFinished, result->steps));
  console.note("the model: {}", result->checkpoint.string());
  if (result->best_step >= 0 && result->best_step != result->steps) {
    console.note("the best, after step {}: {}", result->best_step,
                 CheckpointFolder(run->checkpoints()).path_of(result->best_step).string());
  }
  if (!result->average.empty()) console.note("averaged weights: {}", result->average.string());
  console.note("curves: minke runs report {}", folder);
  return {};
}

}  // namespace

Result<TrainingStart> find_start(const TrainingFlags& flags) {
  TrainingStart start;
  if (!flags.is_resumed()) return start;
  const CheckpointFolder checkpoints(flags.run_path() / "checkpoints");
  const std::vector<int64_t> steps = checkpoints.steps();
  if (steps.empty()) return start;
  start.checkpoint = checkpoints.path_of(steps.back());
  MK_ASSIGN(start.state, read_trainer_state(start.checkpoint));
  return start;
}

Result<void> run_training(const Console& console, const TrainingFlags& flags,
                          const TrainingConfig& config, Trainer& trainer, TrainingStage stage,
                          const TrainingStart& start) {
  MK_ASSIGN(const Schedule schedule, Schedule::create(config.schedule, config.steps));
  MK_ASSIGN(const int64_t micro_batch,
            choose_micro_batch(console, flags, config, trainer, stage, start));
  if (flags.dry_run) return {};
  trainer.set_micro_batch(micro_batch);
  int64_t step = start.state ? start.state->step : 0;
  std::optional<RunFolder> run;
  if (stage.writes_run || flags.is_run_named()) {
    MK_ASSIGN(RunFolder opened, open_run(flags, config, trainer.device(), stage, step));
    run.emplace(std::move(opened));
    CheckpointFolder(run->checkpoints()).remove_remains();
    if (stage.prepare_run) MK_TRY(stage.prepare_run(run->folder()));
    console.note("the run: {}", run->folder().string());
  }
  if (stage.task.flops_per_token > 0) stage.task.flops_per_second = peak_flops(trainer.device());
  const Interrupts interrupts;
  TrainingDisplay display(console, {flags.json, config.steps});
  TrainingHooks hooks = display.hooks(interrupts);
  hooks.on_step = [&step, show = std::move(hooks.on_step)](const StepNews& news) {
    step = news.report->step + 1;
    show(news);
  };
  TrainingLoop loop(config, schedule, trainer, std::move(stage.task), run ? &*run : nullptr,
                    std::move(hooks));
  if (start.state) MK_TRY(loop.resume(*start.state));
  Result<TrainingSummary> result = loop.run();
  display.clear();
  return conclude(console, flags, run ? &*run : nullptr, std::move(result), step);
}

}  // namespace minke
