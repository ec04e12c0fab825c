#include "minke/cli/loaded_model.h"

#include <algorithm>
#include <cmath>

#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/cli/adapter_flags.h"
#include "minke/cli/weight_placement.h"
#include "minke/engine/generation_config.h"
#include "minke/hub/model_store.h"
#include "minke/text/tokenizer_file.h"

namespace minke {
namespace {

constexpr size_t kGenerationConfigBytesMax = size_t{1} << 20;

// The matrices of the layers: what a matmul multiplies with. (MLA's may be one for each head.)
bool is_linear(const WeightInfo& weight) {
  return weight.shape.num_dims() >= 2 && weight.name != "token_embd.weight" &&
         weight.name != "output.weight";
}

template <class Predicate>
bool has_linear(const WeightFile& file, const Predicate& predicate) {
  return std::any_of(file.weights().begin(), file.weights().end(), [&](const WeightInfo& weight) {
    return is_linear(weight) && predicate(weight.dtype);
  });
}

// Whether it is multiplied in whole numbers under --precision int8.
bool is_quantized(DType dtype) { return is_block_quantized(dtype) || dtype == DType::kF8E4M3; }

Result<Precision> choose_precision(const WeightFile& file, const LoadFlags& flags,
                                   const Device& device) {
  const bool quantized = has_linear(file, is_quantized);
  if (flags.precision.empty()) {
    const bool halves =
        has_linear(file, [](DType dtype) { return dtype == DType::kF16 || dtype == DType::kBf16; });
    return quantized                     ? Precision::kInt8
           : halves && device.has_bf16() ? Precision::kBf16
                                         : Precision::kF32;
  }
  const std::optional<Precision> precision = parse_precision(flags.precision);
  if (!precision) {
    return fail(ErrorCode::kUsage, "--precision is '{}', expected f32, bf16 or int8",
                flags.precision);
  }
  if (*precision == Precision::kInt8 && !quantized) {
    return fail(ErrorCode::kUsage,
                "--precision int8 needs block-quantised weights, which this file lacks; leave the "
                "flag out");
  }
  if (*precision == Precision::kBf16 &&
      !has_linear(file, [](DType dtype) { return !is_block_quantized(dtype); })) {
    return fail(ErrorCode::kUsage,
                "--precision bf16 needs weights in f32, f16 or bf16, which this file lacks; leave "
                "the flag out for int8");
  }
  if (*precision == Precision::kBf16 && !device.has_bf16()) {
    return fail(ErrorCode::kUsage,
                "--precision bf16 needs a CPU with dot products of bf16 (AVX512_BF16), and kernels "
                "that use them; this runs {}",
                cpu_level_name(device.level()));
  }
  return *precision;
}

Result<EngineConfig> engine_config_of(const ModelConfig& config, Precision precision,
                                      const LoadFlags& flags) {
  EngineConfig out;
  const int64_t limit = config.max_position_embeddings;
  if (flags.ctx > limit) {
    return fail(ErrorCode::kUsage, "--ctx is {}, but the model was made for at most {} tokens",
                flags.ctx, limit);
  }
  out.context_tokens =
      flags.ctx > 0 ? flags.ctx : static_cast<int>(std::min(limit, kContextDefaultMax));
  out.draft_tokens_max = flags.draft;
  const std::string kv = !flags.kv.empty()              ? flags.kv
                         : precision == Precision::kF32 ? "f32"
                                                        : "f16";
  out.kv_dtype = kv == "f32" ? DType::kF32 : kv == "f16" ? DType::kF16 : DType::kI8;
  return out;
}

std::string display_name(const std::string& name_or_path) {
  if (is_model_name(name_or_path) && !name_or_path.ends_with(".gguf")) return name_or_path;
  return std::filesystem::path(name_or_path).stem().string();
}

std::string token_text(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id ? std::string(tokenizer.token_bytes(*id)) : std::string();
}

}  // namespace

void LoadFlags::add_to(Flags& flags) {
  flags.add("ctx,c", ctx, {0, 1 << 24},
            "most tokens of a conversation; 0: the model's, up to 8192");
  flags.add("threads,t", threads, {0, 1024}, "threads that compute; 0: all CPUs");
  flags.choice("precision", precision, {"f32", "bf16", "int8"},
               "arithmetic; without it int8 for quantised files, bf16 for f16 and bf16 files where "
               "the CPU has it, else f32");
  flags.choice("kv", kv, {"f32", "f16", "int8"},
               "format of the KV cache; without it f16, or f32 with f32");
  flags.add(
      "draft", draft, {0, 15},
      "most tokens guessed ahead, where a text repeats itself or with the model's MTP module; "
      "the answer is the same");
  flags.choice("weights", weights, {"auto", "memory", "disk"},
               "where weights are: disk is slow and needs little memory; auto: on disk only where "
               "memory is too small");
  flags.add("pin", pin, "bind each thread to a CPU");
  flags.add("adapter", adapters, kAdapterHelp);
}

ModelCost LoadedModel::cost(int sequences) const {
  const ModelConfig& config = model->config();
  const MoeConfig& moe = config.moe;
  const double token_share =
      moe.n_routed_experts == 0
          ? 1.0
          : static_cast<double>(moe.routing.top_k) / static_cast<double>(moe.n_routed_experts);
  const double step_share = 1.0 - std::pow(1.0 - token_share, sequences);
  ModelCost cost;
  for (const WeightInfo& weight : file->weights().weights()) {
    const auto bytes = static_cast<double>(weight.bytes.size());
    const auto elements = static_cast<double>(weight.shape.num_elements());
    const bool is_table = weight.name == "token_embd.weight";
    const bool is_expert = weight.name.find("_exps.") != std::string::npos;
    // Of an embedding that is not the head, too, a step reads only a row.
    if (!is_table || config.tie_word_embeddings) {
      cost.bytes_per_step += is_expert ? step_share * bytes : bytes;
    }
    if (is_linear(weight)) cost.linear_parameters += is_expert ? token_share * elements : elements;
  }
  cost.head_parameters = static_cast<double>(config.vocab_size * config.hidden_size);
  cost.kv_bytes_per_token = static_cast<double>(config.kv_token_bytes(engine_config.kv_dtype));
  return cost;
}

Result<std::unique_ptr<Engine>> LoadedModel::make_engine(const EngineConfig& config) const {
  return Engine::create(*device, *model, config);
}

Result<std::vector<int32_t>> LoadedModel::encode_chat(const Json& messages,
                                                      std::optional<bool> think,
                                                      std::string* prompt_text) const {
  if (!chat_template) {
    return fail(ErrorCode::kUsage,
                "{} has no chat template, so it cannot answer messages; run --raw continues a text",
                name);
  }
  ChatInput input;
  input.messages = messages;
  input.bos_token = token_text(*tokenizer, tokenizer->bos());
  input.eos_token = token_text(*tokenizer, tokenizer->eos());
  if (think) input.extra = Json::object({{"enable_thinking", *think}});
  MK_ASSIGN(const MarkedText rendered, chat_template->render(input));
  if (prompt_text != nullptr) *prompt_text = rendered.text;
  return tokenizer->encode(rendered);
}

Result<void> LoadedModel::recommend(SamplingParams& params,
                                    FunctionRef<bool(std::string_view)> is_flag_given) const {
  const auto result =
      apply_generation_config(generation_config, params, [&](std::string_view setting) {
        std::string flag(setting);
        std::replace(flag.begin(), flag.end(), '_', '-');
        return is_flag_given(flag);
      });
  if (result) return {};
  return fail(result.error().code, "{}: {}", path.string(), result.error().message);
}

namespace {

// The tokenizer that lies in or beside the model, and its template.
Result<void> load_text(LoadedModel& loaded) {
  const ModelFile& file = *loaded.file;
  if (file.gguf() != nullptr) {
    MK_ASSIGN(loaded.tokenizer, Tokenizer::from_gguf(*file.gguf()));
  } else {
    MK_ASSIGN(loaded.tokenizer, open_tokenizer(file.folder()));
    const std::filesystem::path config = file.folder() / "generation_config.json";
    std::error_code error;
    if (std::filesystem::exists(config, error)) {
      MK_ASSIGN(loaded.generation_config, read_file(config, kGenerationConfigBytesMax));
    }
  }
  if (!loaded.tokenizer->chat_template().empty()) {
    MK_ASSIGN(loaded.chat_template, ChatTemplate::parse(loaded.tokenizer->chat_template()));
  }
  // Embeddings may have rows that no token uses (DeepSeek-V3, Qwen2), but no token without a row.
  if (loaded.tokenizer->vocab_size() > file.config().vocab_size) {
    return fail(ErrorCode::kCorrupt, "{}: {} tokens in the tokenizer, {} rows in the embedding",
                loaded.path.string(), loaded.tokenizer->vocab_size(), file.config().vocab_size);
  }
  return {};
}

// Of one full context.
int64_t kv_bytes_of(const LoadedModel& loaded) {
  return loaded.file->config().kv_token_bytes(loaded.engine_config.kv_dtype) *
         loaded.engine_config.context_tokens;
}

Result<LoadedModel> load(const std::string& name_or_path, const LoadFlags& flags,
                         const Console& console, bool with_text) {
  const double start = seconds_now();
  LoadedModel loaded;
  MK_ASSIGN(loaded.path, ModelStore::open_default().resolve(name_or_path));
  loaded.name = display_name(name_or_path);
  MK_ASSIGN(loaded.file, ModelFile::open(loaded.path));
  if (with_text) MK_TRY(load_text(loaded));
  const ModelConfig& config = loaded.file->config();
  const WeightFile& weights = loaded.file->weights();
  MK_ASSIGN(
      loaded.device,
      Device::create({.num_threads = flags.threads, .pin_threads = flags.pin, .kernels = {}}));
  MK_ASSIGN(const Precision precision, choose_precision(weights, flags, *loaded.device));
  MK_ASSIGN(loaded.engine_config, engine_config_of(config, precision, flags));
  if (with_text) loaded.engine_config.num_tokens = loaded.tokenizer->vocab_size();
  loaded.precision = precision_name(precision);
  LoadOptions options;
  options.precision = precision;
  options.context_tokens = loaded.engine_config.context_tokens;
  options.mtp_modules = flags.draft > 0 ? 1 : 0;  // the engine guesses with the first one
  MK_ASSIGN(const auto adapters, open_adapters(flags.adapters));
  for (const Adapter& adapter : adapters) loaded.adapters.push_back(adapter.name);
  MK_ASSIGN(const LoraDeltas deltas, fit_adapters(adapters, weights, config));
  options.adapters = &deltas;
  MK_ASSIGN(loaded.model,
            place_weights(*loaded.device, *loaded.file, options,
                          {flags.weights, loaded.name, kv_bytes_of(loaded)}, console));
  if (loaded.file->gguf() != nullptr) loaded.file->gguf()->drop_metadata();
  loaded.load_seconds = seconds_now() - start;
  return loaded;
}

}  // namespace

Result<LoadedModel> load_model_for(const std::string& name_or_path, const LoadFlags& flags,
                                   const Console& console) {
  return load(name_or_path, flags, console, true);
}

Result<LoadedModel> load_model_without_text(const std::string& name_or_path, const LoadFlags& flags,
                                            const Console& console) {
  return load(name_or_path, flags, console, false);
}

}  // namespace minke
