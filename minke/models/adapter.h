#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "minke/models/model.h"
#include "minke/nn/lora.h"

namespace minke {

/// What an adapter adds to one matrix of a model, as Hugging Face's checkpoints have it.
struct AdapterModule {
  std::string module;  ///< "model.layers.3.self_attn.q_proj"
  LoraDelta delta;
};

/// A low-rank adapter (LoRA) of a model's linear maps, which lies in a folder as PEFT's:
///
///     adapter_config.json         r, lora_alpha, use_rslora, rank_pattern, alpha_pattern, ...
///     adapter_model.safetensors   base_model.model.MODULE.lora_A.weight [r, in] and
///                                 base_model.model.MODULE.lora_B.weight [out, r]
struct Adapter {
  std::string name;                    ///< of its folder
  std::string base_model;              ///< what its config calls the model; may be empty
  std::vector<AdapterModule> modules;  ///< sorted by module, each once
};

/// Reads the adapter of a folder, which is taken for hostile. kNotFound without the files; kUsage
/// for what minke does not do (DoRA, biases, embeddings, ...), naming the setting or the tensor;
/// kCorrupt for what cannot be: tensors without a partner, of shapes that do not fit, with numbers
/// that are not finite.
Result<Adapter> read_adapter(const std::filesystem::path& folder);

/// Writes the two files into a folder, each whole or not at all, as PEFT's from_pretrained() reads
/// them; numbers are f32. `adapter` must have modules, each once.
Result<void> write_adapter(const std::filesystem::path& folder, const Adapter& adapter);

/// The adapters as the matrices of a model get them, which load_model() and merging need: under
/// GGUF's names, rows in the order of `file`, whose `config` it is. kUsage for an adapter that is
/// not one of this model: a module that it does not have, or whose shape is another.
Result<LoraDeltas> fit_adapters(std::span<const Adapter> adapters, const WeightFile& file,
                                const ModelConfig& config);

}  // namespace minke
