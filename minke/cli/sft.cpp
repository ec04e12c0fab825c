#include "minke/train/sft.h"

#include "minke/cli/command.h"
#include "minke/cli/training_run.h"
#include "minke/data/batch_sources.h"
#include "minke/hub/model_store.h"
#include "minke/train/flops.h"
#include "minke/train/row_file.h"
#include "minke/train/token_objective.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

struct SftData {
  std::unique_ptr<BatchSource> training;
  std::unique_ptr<BatchSource> validation;  // null: none
};

class SftCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags_.add_to(flags, config_);
    flags.example("minke sft --init smollm2-135m --data ./gsm8k --steps 200");
    flags.example("minke sft --init ./model --data ./chats --lora-r 0 --lr 1e-5");
    flags.example("minke sft --resume ./run");
  }

  Result<void> run(const Console& console) override;

 private:
  Result<void> check() const;
  void take_defaults_of_rows();
  Result<SftData> open_data(const Console& console, const ModelConfig& model) const;

  SftConfig config_;
  TrainingFlags flags_{"sft"};
};

// Alike what an outside loop has without further settings.
void SftCommand::take_defaults_of_rows() {
  TrainingConfig& training = config_.training;
  if (!flags_.is_set("schedule")) training.schedule.schedule = "constant";
  if (!flags_.is_set("spike")) training.spike = 0;
}

Result<void> SftCommand::check() const {
  if (config_.model.init.empty()) return fail(ErrorCode::kUsage, "no --init: which model?");
  if (config_.rows.empty() == config_.data.empty()) {
    return fail(ErrorCode::kUsage, "{}",
                config_.rows.empty() ? "what to train on? Give --data or --rows"
                                     : "both --data and --rows are given: leave one out");
  }
  return {};
}

Result<SftData> SftCommand::open_data(const Console& console, const ModelConfig& model) const {
  const TrainingConfig& training = config_.training;
  SftData data;
  if (!config_.rows.empty()) {
    MK_ASSIGN(data.training, open_row_file(config_.rows, {training.batch, config_.seq,
                                                          training.steps, model.vocab_size}));
    return data;
  }
  BatchOptions options;
  options.rows = training.batch;
  options.seq_len = config_.seq;
  options.seed = training.seed;
  options.pack = config_.pack;
  MK_ASSIGN(TokenDataset examples, TokenDataset::open(config_.data));
  MK_TRY(check_vocabulary(examples, model));
  LeftOut left_out;
  MK_ASSIGN(data.training, make_batches(std::move(examples), options, &left_out));
  if (left_out.truncated + left_out.dropped > 0) {
    console.note("{} examples lose their ends after {} tokens, {} are left out", left_out.truncated,
                 config_.seq, left_out.dropped);
  }
  if (training.eval_every == 0) return data;
  Result<TokenDataset> held_out = TokenDataset::open(config_.data, "validation");
  if (!held_out && held_out.error().code == ErrorCode::kNotFound) return data;
  if (!held_out) return pass_on(held_out);
  options.order = BatchOrder::kAscending;
  MK_ASSIGN(data.validation, make_batches(std::move(*held_out), options));
  return data;
}

Result<void> SftCommand::run(const Console& console) {
  MK_TRY(flags_.resolve(config_));
  if (!config_.rows.empty()) take_defaults_of_rows();
  MK_TRY(check());
  const TrainingConfig& training = config_.training;
  MK_ASSIGN(const TrainingStart start, find_start(flags_));
  MK_ASSIGN(const auto device, Device::create({training.threads, false, {}}));
  MK_ASSIGN(auto optimizer, make_optimizer(training.optimizer));
  MK_ASSIGN(const fs::path init, ModelStore::open_default().resolve(config_.model.init));
  MK_ASSIGN(const FineTunedModel tuned,
            FineTunedModel::load(*device, init, config_.seq, config_.model, training.seed));
  Model& model = tuned.model();
  MK_ASSIGN(const SftData data, open_data(console, model.config()));
  if (start.state) MK_TRY(tuned.read(*device, start.checkpoint));
  TokenObjective objective(model, *data.training);
  Trainer trainer(*device, model.parameters(), trained_tensors(model.parameters()),
                  std::move(optimizer), {training.clip, training.micro_batch});
  TrainingStage stage;
  stage.config = SettingFields(config_).values();
  stage.unit_tokens = config_.seq;
  stage.writes_run = config_.rows.empty();
  fs::path run_folder;
  stage.prepare_run = [&](const fs::path& run) {
    run_folder = run;
    return tuned.prepare(run);
  };
  stage.task.write_weights = [&](const fs::path& to) {
    return tuned.write(*device, run_folder, to);
  };
  stage.task.read_weights = [&](const fs::path& from) { return tuned.read(*device, from); };
  stage.task.objective = &objective;
  stage.task.flops_per_token = training_flops_per_token(model, trainer.tensors(), config_.seq);
  if (data.validation != nullptr) {
    stage.task.evaluate = [&]() {
      EvaluationOptions options;
      options.num_batches = training.eval_batches;
      options.micro_batch = trainer.options().micro_batch;
      return evaluate(*device, model, *data.validation, options);
    };
  }
  return run_training(console, flags_, training, trainer, std::move(stage), start);
}

}  // namespace

std::unique_ptr<Command> make_sft_command() { return std::make_unique<SftCommand>(); }

}  // namespace minke
