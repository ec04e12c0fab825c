#include "minke/train/pretrain.h"

#include "minke/cli/command.h"
#include "minke/cli/training_display.h"
#include "minke/cli/training_flags.h"
#include "minke/hub/model_store.h"
#include "minke/train/id_file.h"
#include "minke/train/model_folder.h"
#include "minke/train/token_objective.h"
#include "minke/train/trainable_model.h"
#include "minke/train/trainer.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

class PretrainCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags_.add_to(flags, config_);
    flags.example(
        "minke pretrain --init ./smollm2 --ids ids.txt --batch 4 --seq 512 --steps 200 --lr 1e-4 "
        "--json");
    flags.example("minke pretrain --resume ./run");
  }

  Result<void> run(const Console& console) override;

 private:
  Result<void> check() const;
  void take_defaults_of_ids();

  PretrainConfig config_;
  TrainingFlags flags_{"pretrain"};
};

// Alike what an outside loop has without further settings.
void PretrainCommand::take_defaults_of_ids() {
  TrainingConfig& training = config_.training;
  if (!flags_.is_set("schedule")) training.schedule.schedule = "constant";
  if (!flags_.is_set("weight_decay")) training.optimizer.weight_decay = 0;
  if (!flags_.is_set("spike")) training.spike = 0;
  if (!flags_.is_set("eval_every")) training.eval_every = 0;
}

Result<void> PretrainCommand::check() const {
  if (config_.init.empty()) return fail(ErrorCode::kUsage, "no --init: which model to begin with?");
  if (config_.ids.empty()) return fail(ErrorCode::kUsage, "no --ids: what to train on?");
  return {};
}

Result<void> PretrainCommand::run(const Console& console) {
  MK_TRY(flags_.resolve(config_));
  if (!config_.ids.empty()) take_defaults_of_ids();
  MK_TRY(check());
  const TrainingConfig& training = config_.training;
  MK_ASSIGN(const auto device, Device::create({training.threads, false, {}}));
  MK_ASSIGN(const Schedule schedule, Schedule::create(training.schedule, training.steps));
  MK_ASSIGN(auto optimizer, make_optimizer(training.optimizer));
  MK_ASSIGN(const fs::path init, ModelStore::open_default().resolve(config_.init));
  MK_ASSIGN(const TrainableModel loaded, load_for_training(*device, init, config_.seq));
  Model& model = *loaded.model;
  MK_ASSIGN(const auto source,
            open_id_file(config_.ids,
                         {training.batch, config_.seq, training.steps, model.config().vocab_size}));
  TokenObjective objective(model, *source);
  Trainer trainer(*device, model.parameters(), trained_tensors(model.parameters()),
                  std::move(optimizer), {training.clip, training.micro_batch});
  TrainingTask task;
  task.objective = &objective;
  const Interrupts interrupts;
  TrainingDisplay display(console, {flags_.json, training.steps, 0, 0});
  TrainingLoop loop(training, schedule, trainer, std::move(task), nullptr,
                    display.hooks(interrupts));
  MK_ASSIGN(const TrainingSummary summary, loop.run());
  return {};
}

}  // namespace

std::unique_ptr<Command> make_pretrain_command() { return std::make_unique<PretrainCommand>(); }

}  // namespace minke
