#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "minke/cli/console.h"
#include "minke/cli/flags.h"
#include "minke/engine/engine.h"
#include "minke/models/model_file.h"
#include "minke/tensor/device.h"
#include "minke/text/chat_template.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// The context where --ctx is not given, unless the model's own is smaller. A cache's pages are
/// touched only when used, so it bounds what a runaway reply may take, and costs nothing before.
inline constexpr int64_t kContextDefaultMax = 8192;

/// What load_model_for() takes, for help texts.
inline constexpr const char* kModelHelp =
    "a name from minke list, a .gguf file, or a Hugging Face folder";

/// How to load and run a model: the flags that run, chat, serve, eval and bench have in common.
struct LoadFlags {
  int ctx = 0;            ///< tokens of a sequence; 0: the model's own limit, but at most 8192
  int threads = 0;        ///< 0: all CPUs that this process may use
  std::string precision;  ///< "f32", "bf16", "int8", or empty: int8 for quantised files, bf16 for
                          ///< f16 and bf16 files where the CPU has it, else f32
  std::string kv;         ///< "f32", "f16", "int8", or empty: f32 with f32 arithmetic, else f16
  int draft = EngineConfig{}.draft_tokens_max;
  bool pin = false;              ///< bind each thread to a CPU
  std::string weights = "auto";  ///< "memory", "disk", or "auto": disk where memory is too small
  std::vector<std::string> adapters;  ///< FOLDER or FOLDER:SCALE

  void add_to(Flags& flags);
};

/// Bytes and operations of a model as it lies in its file, for shares of the machine's limits.
struct ModelCost {
  double bytes_per_step = 0;      ///< weights that one decoding step reads; a tied head once
  double linear_parameters = 0;   ///< weights of the matmuls of one token (without the head)
  double head_parameters = 0;     ///< weights of the head's matmul, for tokens with logits
  double kv_bytes_per_token = 0;  ///< key and value rows of one token, all layers
};

/// A model with all that is needed to use it: the one place where the commands meet the model's
/// loader. Members are in the order in which they depend on each other.
struct LoadedModel {
  std::string name;  ///< as the user gave it (a path: the file's stem)
  std::filesystem::path path;
  std::string precision;  ///< "f32", "bf16" or "int8", as it runs
  std::unique_ptr<Device> device;
  std::optional<ModelFile> file;
  std::optional<Tokenizer> tokenizer;         ///< absent after load_model_without_text()
  std::optional<ChatTemplate> chat_template;  ///< absent when the file has none
  std::string generation_config;  ///< generation_config.json, where the model came with one
  std::unique_ptr<Model> model;
  std::vector<std::string> adapters;  ///< their names
  EngineConfig engine_config;         ///< context and KV format from the flags
  double load_seconds = 0;

  /// What a step with one token of each of `sequences` costs. Of a layer's experts it reads as many
  /// as even draws would choose.
  ModelCost cost(int sequences) const;
  /// An engine for this model with the given limits; the model must outlive it.
  Result<std::unique_ptr<Engine>> make_engine(const EngineConfig& config) const;
  /// Sets what the model's authors recommend, but not the flags that the user gave. kCorrupt: see
  /// apply_generation_config().
  Result<void> recommend(SamplingParams& params,
                         FunctionRef<bool(std::string_view)> is_flag_given) const;
  /// Token ids of a conversation that is ready for the assistant's turn. `prompt_text` receives the
  /// rendered text when it is not null. kUsage when the model has no chat template.
  Result<std::vector<int32_t>> encode_chat(const Json& messages, std::optional<bool> think,
                                           std::string* prompt_text = nullptr) const;
};

/// Loads a model by its name in the store, or by the path of its .gguf file or Hugging Face folder.
/// Errors: those of the store, the file and the model, and kUsage for --ctx beyond what the model
/// was trained for; kWillNotFit as place_weights() says. Notes of weights that stay on disk go to
/// `console`.
Result<LoadedModel> load_model_for(const std::string& name_or_path, const LoadFlags& flags,
                                   const Console& console);
/// The same without its tokenizer, which the files need not have.
Result<LoadedModel> load_model_without_text(const std::string& name_or_path, const LoadFlags& flags,
                                            const Console& console);

}  // namespace minke
