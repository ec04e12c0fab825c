#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "minke/models/adapter.h"

namespace minke {

/// What a new adapter is like; names and meanings are those of PEFT's LoraConfig.
struct LoraConfig {
  int64_t r = 16;
  double lora_alpha = 32.0;
  bool use_rslora = false;  ///< B A is multiplied by lora_alpha / sqrt(r), not lora_alpha / r
  /// Ends of modules' names, such as "q_proj" or "layers.3.mlp.down_proj". None: all linear maps of
  /// the blocks but gates of experts and, for there are many, routed experts.
  std::vector<std::string> target_modules{};
};

/// A new adapter of a model, which adds nothing yet: A uniform within 1 / sqrt(in) of zero, B zero
/// (PEFT's init_lora_weights). A fixed function of the seed and each module's name. kUsage for a
/// target that the model does not have (it is told which there are).
Result<Adapter> new_adapter(const WeightFile& file, const ModelConfig& config,
                            const LoraConfig& lora, uint64_t seed);

/// From here on only the adapters of a model are trained: all else in `store` is frozen. MK_CHECK
/// that there are adapters.
void train_adapters_only(ParameterStore& store);

/// The adapter that a model was loaded with as it is now, under Hugging Face's names and in their
/// order of rows: the inverse of fit_adapters(). MK_CHECK that each matrix has at most one.
Adapter adapter_of(const Device& device, const Model& model, std::string base_model);

/// Gives the adapter that a model was loaded with the numbers of another of the same modules and
/// ranks, such as one that adapter_of() made of it; the model's scales stay. kCorrupt for others.
Result<void> set_adapter(const Device& device, const Adapter& adapter, Model& model);

}  // namespace minke
