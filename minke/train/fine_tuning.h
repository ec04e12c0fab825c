#pragma once
#include <string>

#include "minke/models/new_adapter.h"
#include "minke/train/trainable_model.h"

namespace minke {

/// What is fine-tuned: settings that sft and dpo have in common.
struct FineTuningConfig {
  std::string init;
  std::string adapter;
  LoraConfig lora;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor("init", init, "the model to begin with: a name, a .gguf file or a folder");
    visitor("lora_r", lora.r, 0, 65536,
            "rank of a new LoRA adapter, the model's weights staying as they are, in their format; "
            "0: all weights are trained, in f32");
    visitor("lora_alpha", lora.lora_alpha, 1e-6, 1e6,
            "the adapter's product is multiplied by lora_alpha / lora_r");
    visitor("use_rslora", lora.use_rslora, "... by lora_alpha / sqrt(lora_r)");
    visitor("lora_targets", lora.target_modules,
            "the end of modules' names that are adapted, such as q_proj; none: all linear maps of "
            "the blocks but routed experts and their gates");
    visitor("adapter", adapter,
            "in place of a new adapter the one in this folder, as PEFT's, which is trained on");
  }
};

/// A model of which all weights, or an adapter alone, are trained, and how that is saved.
class FineTunedModel {
 public:
  /// The model in `init`, the path of config.init. Errors: load_for_training()'s, read_adapter()'s;
  /// kUsage for an adapter that is not of this model.
  static Result<FineTunedModel> load(const Device& device, const std::filesystem::path& init,
                                     int64_t context_tokens, const FineTuningConfig& config,
                                     uint64_t seed);

  Model& model() const { return *loaded_.model; }
  bool has_adapter() const { return has_adapter_; }

  /// Once for a run: keeps in its folder what makes weights a model's folder. An adapter needs
  /// nothing.
  Result<void> prepare(const std::filesystem::path& run) const;
  /// Writes a model's folder, or a PEFT adapter's, into a folder that is there; reads one back.
  Result<void> write(const Device& device, const std::filesystem::path& run,
                     const std::filesystem::path& to) const;
  Result<void> read(const Device& device, const std::filesystem::path& from) const;

 private:
  FineTunedModel(TrainableModel loaded, std::string name, bool has_adapter)
      : loaded_(std::move(loaded)), name_(std::move(name)), has_adapter_(has_adapter) {}

  TrainableModel loaded_;
  std::string name_;  // of the base, as the user wrote it
  bool has_adapter_;
};

}  // namespace minke
