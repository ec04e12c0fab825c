#include <algorithm>
#include <optional>

#include "minke/cli/command.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/training_run.h"
#include "minke/data/batch_sources.h"
#include "minke/hub/model_store.h"
#include "minke/train/dpo_objective.h"
#include "minke/train/flops.h"
#include "minke/train/preference.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr const char* kReferenceFile = "reference.jsonl";  // in the run's folder

struct DpoData {
  std::unique_ptr<PairSource> training;
  std::unique_ptr<PairSource> validation;  // null: none
};

// The loss over the first `num_steps` batches of pairs that are not trained on.
Result<Evaluation> evaluate_pairs(const Device& device, DpoObjective& objective,
                                  int64_t num_steps) {
  Evaluation out;
  for (int64_t step = 0; step < num_steps; ++step) {
    MK_ASSIGN(const StepSize size, objective.begin_step(step));
    for (int64_t pair = 0; pair < size.units; ++pair) {
      const Tensor loss = objective.loss({device}, pair, pair + 1);
      out.loss += static_cast<double>(*loss.data<float>()) / static_cast<double>(num_steps);
    }
    out.targets += size.targets;
  }
  return out;
}

class DpoCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags_.add_to(flags, config_);
    flags.example("minke dpo --init smollm2-135m --data ./pairs --steps 100 --beta 0.1");
    flags.example(
        "minke dpo --init ./model --adapter ./run/checkpoints/step-000200 --data ./pairs");
    flags.example("minke dpo --resume ./run");
  }

  Result<void> run(const Console& console) override;

 private:
  Result<void> check() const;
  Result<DpoData> open_data(const Console& console, const ModelConfig& model) const;
  Result<ReferenceLogProbs> reference_of(const Console& console, const Device& device,
                                         const Model& model, const PairSource& pairs) const;

  PreferenceConfig config_;
  TrainingFlags flags_{"dpo"};
};

Result<void> DpoCommand::check() const {
  if (config_.model.init.empty()) return fail(ErrorCode::kUsage, "no --init: which model?");
  if (config_.data.empty()) return fail(ErrorCode::kUsage, "no --data: what to train on?");
  return {};
}

Result<DpoData> DpoCommand::open_data(const Console& console, const ModelConfig& model) const {
  BatchOptions options;
  options.rows = config_.training.batch;
  options.seq_len = config_.seq;
  options.seed = config_.training.seed;
  DpoData data;
  MK_ASSIGN(TokenDataset pairs, TokenDataset::open(config_.data));
  MK_TRY(check_vocabulary(pairs, model));
  LeftOut left_out;
  MK_ASSIGN(data.training, make_pair_batches(std::move(pairs), options, &left_out));
  if (left_out.truncated + left_out.dropped > 0) {
    console.note("{} pairs lose their ends after {} tokens, {} are left out", left_out.truncated,
                 config_.seq, left_out.dropped);
  }
  if (config_.training.eval_every == 0) return data;
  Result<TokenDataset> held_out = TokenDataset::open(config_.data, "validation");
  if (!held_out && held_out.error().code == ErrorCode::kNotFound) return data;
  if (!held_out) return pass_on(held_out);
  options.order = BatchOrder::kAscending;
  MK_ASSIGN(data.validation, make_pair_batches(std::move(*held_out), options));
  return data;
}

// Of all pairs of the run (of the first step for --dry-run) under the model, which has the weights
// that the run begins with. What the resumed run had computed is taken.
Result<ReferenceLogProbs> DpoCommand::reference_of(const Console& console, const Device& device,
                                                   const Model& model,
                                                   const PairSource& pairs) const {
  const TrainingConfig& training = config_.training;
  const fs::path saved = flags_.run_path() / kReferenceFile;
  std::error_code error;
  ReferenceLogProbs reference;
  if (flags_.is_resumed() && fs::exists(saved, error)) {
    MK_ASSIGN(reference, ReferenceLogProbs::read(saved));
  }
  const int64_t num_steps = flags_.dry_run ? 1 : std::min(training.steps, pairs.steps_per_epoch());
  const Interrupts interrupts;
  console.note("the reference's log-probabilities of {} steps' pairs come first", num_steps);
  MK_TRY(reference.compute(device, model, pairs, num_steps,
                           std::max<int64_t>(1, training.micro_batch),
                           [&](int64_t) { return interrupts.count() == 0; }));
  return reference;
}

Result<void> DpoCommand::run(const Console& console) {
  MK_TRY(flags_.resolve(config_));
  MK_TRY(check());
  const TrainingConfig& training = config_.training;
  MK_ASSIGN(const TrainingStart start, find_start(flags_));
  MK_ASSIGN(const auto device, Device::create({training.threads, false, {}}));
  MK_ASSIGN(auto optimizer, make_optimizer(training.optimizer));
  MK_ASSIGN(const fs::path init, ModelStore::open_default().resolve(config_.model.init));
  MK_ASSIGN(const FineTunedModel tuned,
            FineTunedModel::load(*device, init, config_.seq, config_.model, training.seed));
  Model& model = tuned.model();
  MK_ASSIGN(const DpoData data, open_data(console, model.config()));
  const bool evaluates = data.validation != nullptr && !flags_.dry_run;
  const int64_t eval_batches =
      evaluates ? std::min(training.eval_batches, data.validation->steps_per_epoch()) : 0;
  MK_ASSIGN(const ReferenceLogProbs reference,
            reference_of(console, *device, model, *data.training));
  ReferenceLogProbs held_out;
  if (evaluates) {
    MK_TRY(held_out.compute(*device, model, *data.validation, eval_batches, 1,
                            [](int64_t) { return true; }));
  }
  if (start.state) MK_TRY(tuned.read(*device, start.checkpoint));
  DpoObjective objective(model, *data.training, reference, config_.dpo);
  std::optional<DpoObjective> evaluated;
  if (evaluates) evaluated.emplace(model, *data.validation, held_out, config_.dpo);
  Trainer trainer(*device, model.parameters(), trained_tensors(model.parameters()),
                  std::move(optimizer), {training.clip, training.micro_batch});
  TrainingStage stage;
  stage.config = SettingFields(config_).values();
  stage.unit_tokens = 2 * config_.seq;
  fs::path run_folder;
  stage.prepare_run = [&](const fs::path& run) -> Result<void> {
    run_folder = run;
    MK_TRY(reference.write(run / kReferenceFile));
    return tuned.prepare(run);
  };
  stage.task.write_weights = [&](const fs::path& to) {
    return tuned.write(*device, run_folder, to);
  };
  stage.task.read_weights = [&](const fs::path& from) { return tuned.read(*device, from); };
  stage.task.objective = &objective;
  stage.task.flops_per_token = training_flops_per_token(model, trainer.tensors(), config_.seq);
  if (evaluates) {
    stage.task.evaluate = [&] { return evaluate_pairs(*device, *evaluated, eval_batches); };
  }
  return run_training(console, flags_, training, trainer, std::move(stage), start);
}

}  // namespace

std::unique_ptr<Command> make_dpo_command() { return std::make_unique<DpoCommand>(); }

}  // namespace minke
