#include "minke/train/pretrain.h"

#include "minke/base/files.h"
#include "minke/cli/command.h"
#include "minke/cli/evaluation_tasks.h"
#include "minke/cli/training_flags.h"
#include "minke/cli/training_run.h"
#include "minke/data/batch_sources.h"
#include "minke/hub/model_store.h"
#include "minke/models/new_model.h"
#include "minke/text/tokenizer_file.h"
#include "minke/train/flops.h"
#include "minke/train/id_file.h"
#include "minke/train/model_folder.h"
#include "minke/train/token_objective.h"
#include "minke/train/trainable_model.h"
#include "minke/train/trainer.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelFolder = "model";  // in the run's

// What is trained on, and what the model is evaluated on, where there is such.
struct PretrainData {
  std::unique_ptr<BatchSource> training;
  std::unique_ptr<BatchSource> validation;
  double validation_bytes_per_target = 0;
};

class PretrainCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags_.add_to(flags, config_);
    flags.example("minke pretrain --recipe recipes/nanogpt-char.toml");
    flags.example("minke pretrain --init ./smollm2 --data ./texts --lr 1e-4 --dry-run");
    flags.example(
        "minke pretrain --init ./smollm2 --ids ids.txt --batch 4 --seq 512 --steps 200 --lr 1e-4 "
        "--json");
    flags.example("minke pretrain --resume ./run");
  }

  Result<void> run(const Console& console) override;

 private:
  void take_defaults_of_ids();
  Result<void> check() const;
  bool is_new_model() const { return new_config_.is_object(); }
  Result<std::unique_ptr<Model>> load(const Device& device, const TrainingStart& start);
  Result<PretrainData> open_data(int64_t vocab_size) const;
  Result<void> make_folder(const fs::path& folder) const;
  Result<std::optional<Tokenizer>> tokenizer_for(const EvaluationTasks& tasks,
                                                 bool has_validation) const;

  PretrainConfig config_;
  TrainingFlags flags_{"pretrain"};
  Json new_config_;  // of a new model; null: --init's
  std::optional<ModelFile> init_;
};

// Alike what an outside loop has without further settings.
void PretrainCommand::take_defaults_of_ids() {
  TrainingConfig& training = config_.training;
  if (!flags_.is_set("schedule")) training.schedule.schedule = "constant";
  if (!flags_.is_set("weight_decay")) training.optimizer.weight_decay = 0;
  if (!flags_.is_set("spike")) training.spike = 0;
}

Result<void> PretrainCommand::check() const {
  if (config_.init.empty() == flags_.new_model().is_null()) {
    return fail(ErrorCode::kUsage, "{}",
                config_.init.empty()
                    ? "which model to begin with? Give --init, or a recipe with a [model]"
                    : "--init is given, and the recipe has a [model], too: leave one out");
  }
  if (config_.ids.empty() == config_.data.empty()) {
    return fail(ErrorCode::kUsage, "{}",
                config_.ids.empty() ? "what to train on? Give --data or --ids"
                                    : "both --data and --ids are given: leave one out");
  }
  return {};
}

Result<std::unique_ptr<Model>> PretrainCommand::load(const Device& device,
                                                     const TrainingStart& start) {
  new_config_ = flags_.new_model();
  if (new_config_.is_null() && config_.init.ends_with(".json")) {
    MK_ASSIGN(const std::string text, read_file(config_.init));
    MK_ASSIGN(new_config_, parse_json(text));
    if (!new_config_.is_object()) {
      return fail(ErrorCode::kUsage, "{} is a {}, expected the object of a config.json",
                  config_.init, new_config_.kind());
    }
  }
  if (is_new_model() && start.checkpoint.empty()) {
    NewModelOptions options;
    options.seed = config_.training.seed;
    options.context_tokens = config_.seq;
    return new_model(device, new_config_.dump(), options);
  }
  fs::path path = start.checkpoint;
  if (path.empty()) {
    MK_ASSIGN(path, ModelStore::open_default().resolve(config_.init));
  }
  MK_ASSIGN(TrainableModel loaded, load_for_training(device, path, config_.seq));
  init_.emplace(std::move(loaded.file));
  return std::move(loaded.model);
}

Result<PretrainData> PretrainCommand::open_data(int64_t vocab_size) const {
  const TrainingConfig& training = config_.training;
  PretrainData data;
  if (!config_.ids.empty()) {
    MK_ASSIGN(data.training,
              open_id_file(config_.ids, {training.batch, config_.seq, training.steps, vocab_size}));
    return data;
  }
  BatchOptions options;
  options.rows = training.batch;
  options.seq_len = config_.seq;
  options.seed = training.seed;
  options.order = config_.sampled ? BatchOrder::kSampled : BatchOrder::kShuffled;
  options.separate_documents = config_.separate_documents;
  MK_ASSIGN(TokenDataset texts, TokenDataset::open(config_.data));
  if (texts.info().vocab_size > vocab_size) {
    return fail(ErrorCode::kUsage,
                "{} has token ids up to {}, but the model's vocabulary has {}: prepare it with the "
                "model's tokenizer",
                config_.data, texts.info().vocab_size - 1, vocab_size);
  }
  MK_ASSIGN(data.training, make_batches(std::move(texts), options));
  if (training.eval_every == 0) return data;
  Result<TokenDataset> held_out = TokenDataset::open(config_.data, "validation");
  if (!held_out && held_out.error().code == ErrorCode::kNotFound) return data;
  if (!held_out) return pass_on(held_out);
  const ShardInfo info = held_out->info();
  if (info.num_targets > 0) {
    data.validation_bytes_per_target =
        static_cast<double>(info.text_bytes) / static_cast<double>(info.num_targets);
  }
  options.order = BatchOrder::kAscending;
  MK_ASSIGN(data.validation, make_batches(std::move(*held_out), options));
  return data;
}

// What is there already is left: the checkpoints of a resumed run are made of it.
Result<void> PretrainCommand::make_folder(const fs::path& folder) const {
  if (init_) return make_model_folder(*init_, folder);
  return make_new_model_folder(new_config_, config_.tokenizer, folder);
}

// What tasks and samples are encoded with; none where there are none.
Result<std::optional<Tokenizer>> PretrainCommand::tokenizer_for(const EvaluationTasks& tasks,
                                                                bool has_validation) const {
  if (tasks.empty()) return std::nullopt;
  if (!has_validation) {
    return fail(ErrorCode::kUsage,
                "tasks and samples belong to evaluations, and there are none: give data with a "
                "validation part, and eval_every");
  }
  fs::path path = config_.tokenizer;
  if (path.empty() && !is_new_model()) {
    MK_ASSIGN(path, ModelStore::open_default().resolve(config_.init));
  }
  if (path.empty()) return fail(ErrorCode::kUsage, "tasks and samples need --tokenizer");
  MK_ASSIGN(Tokenizer tokenizer, open_tokenizer(path));
  return std::optional<Tokenizer>(std::move(tokenizer));
}

Result<void> PretrainCommand::run(const Console& console) {
  MK_TRY(flags_.resolve(config_));
  if (!config_.ids.empty()) take_defaults_of_ids();
  MK_TRY(check());
  const TrainingConfig& training = config_.training;
  MK_ASSIGN(const TrainingStart start, find_start(flags_));
  MK_ASSIGN(auto optimizer, make_optimizer(training.optimizer));
  MK_ASSIGN(const auto device, Device::create({training.threads, false, {}}));
  MK_ASSIGN(const std::unique_ptr<Model> model, load(*device, start));
  MK_ASSIGN(const PretrainData data, open_data(model->config().vocab_size));
  MK_ASSIGN(const EvaluationTasks tasks, EvaluationTasks::create(training, config_.seq));
  MK_ASSIGN(const auto tokenizer, tokenizer_for(tasks, data.validation != nullptr));
  TokenObjective objective(*model, *data.training);
  Trainer trainer(*device, model->parameters(), trained_tensors(model->parameters()),
                  std::move(optimizer), {training.clip, training.micro_batch});
  TrainingStage stage;
  stage.unit_tokens = config_.seq;
  stage.writes_run = config_.ids.empty();
  stage.config = SettingFields(config_).values();
  if (!flags_.new_model().is_null()) stage.config.set("model", flags_.new_model());
  fs::path model_folder;
  stage.prepare_run = [&](const fs::path& run) {
    model_folder = run / kModelFolder;
    return make_folder(model_folder);
  };
  stage.task.objective = &objective;
  stage.task.flops_per_token = training_flops_per_token(*model, trainer.tensors(), config_.seq);
  if (data.validation != nullptr) {
    stage.task.evaluate = [&]() -> Result<Evaluation> {
      EvaluationOptions options;
      options.num_batches = training.eval_batches;
      options.micro_batch = trainer.options().micro_batch;
      options.bytes_per_target = data.validation_bytes_per_target;
      MK_ASSIGN(Evaluation result, evaluate(*device, *model, *data.validation, options));
      if (tokenizer) MK_TRY(tasks.add_to(result, *device, *model, *tokenizer));
      return result;
    };
  }
  stage.task.write_weights = [&](const fs::path& folder) {
    return write_model(*model, device->pool().num_threads(), model_folder, folder);
  };
  stage.task.read_weights = [&](const fs::path& folder) {
    return read_weights(*device, folder, *model);
  };
  return run_training(console, flags_, training, trainer, std::move(stage), start);
}

}  // namespace

std::unique_ptr<Command> make_pretrain_command() { return std::make_unique<PretrainCommand>(); }

}  // namespace minke
