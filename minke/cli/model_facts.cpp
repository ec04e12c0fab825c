#include "minke/cli/model_facts.h"

#include <algorithm>
#include <map>

#include "minke/base/memory.h"
#include "minke/cli/loaded_model.h"

namespace minke {
namespace {

std::string main_format(const WeightFile& file) {
  std::map<std::string_view, uint64_t> bytes;
  for (const WeightInfo& weight : file.weights()) {
    bytes[dtype_info(weight.dtype).name] += weight.bytes.size();
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "none" : std::string(most->first);
}

// Bytes that a tensor takes once it is loaded: FP8 becomes q8_0.
int64_t loaded_bytes(const WeightInfo& weight) {
  const auto bytes = static_cast<int64_t>(weight.bytes.size());
  if (weight.dtype != DType::kF8E4M3) return bytes;
  const DTypeInfo& format = dtype_info(DType::kQ8_0);
  return bytes / format.block_size * format.block_bytes;
}

void add_weights(ModelFacts& facts, const WeightFile& file) {
  facts.format = main_format(file);
  for (const WeightInfo& weight : file.weights()) {
    facts.parameters += weight.shape.num_elements();
    facts.weight_bytes += loaded_bytes(weight);
  }
}

void add_experts(ModelFacts& facts, const WeightFile& file, const ModelConfig& config) {
  facts.moe = config.moe;
  facts.active_parameters = facts.parameters;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    if (config.moe.has_experts(i)) ++facts.expert_layers;
  }
  if (facts.expert_layers == 0) return;
  int64_t in_experts = 0;
  for (const WeightInfo& weight : file.weights()) {
    if (weight.name.find("_exps.") != std::string::npos) in_experts += weight.shape.num_elements();
  }
  facts.active_parameters -= in_experts / config.moe.n_routed_experts *
                             (config.moe.n_routed_experts - config.moe.routing.top_k);
}

void add_memory(ModelFacts& facts, const WeightFile& file, const ModelConfig& config) {
  const bool quantized =
      std::any_of(file.weights().begin(), file.weights().end(), [](const WeightInfo& weight) {
        return is_block_quantized(weight.dtype) || weight.dtype == DType::kF8E4M3;
      });
  facts.context_tokens = config.max_position_embeddings;
  facts.default_context_tokens = std::min(facts.context_tokens, kContextDefaultMax);
  // Unquantised models may run in f32, whose cache is the largest.
  ModelConfig cached = config;
  cached.mla.caches_latents = quantized;
  facts.cache_bytes =
      cached.kv_token_bytes(quantized ? DType::kF16 : DType::kF32) * facts.default_context_tokens;
  facts.memory_bytes = facts.weight_bytes + facts.cache_bytes + kWorkBytes;
}

}  // namespace

void ModelFacts::add_to(Json& document) const {
  document.set("format", format);
  document.set("parameters", parameters);
  document.set("context_tokens", context_tokens > 0 ? Json(context_tokens) : Json());
  document.set("memory_bytes", is_known() ? Json(memory_bytes) : Json());
  document.set("available_bytes", available_bytes > 0 ? Json(available_bytes) : Json());
  document.set("fits", is_known() ? Json(fits()) : Json());
  if (expert_layers == 0) return;
  document.set("active_parameters", active_parameters);
  document.set("experts", Json::object({{"routed", moe.n_routed_experts},
                                        {"chosen", moe.routing.top_k},
                                        {"shared", moe.n_shared_experts},
                                        {"layers", expert_layers}}));
}

ModelFacts model_facts(const GgufFile& file) {
  ModelFacts facts;
  facts.architecture = file.get_string_or("general.architecture", "unknown").value_or("unknown");
  facts.available_bytes = static_cast<int64_t>(available_memory().bytes);
  const Result<uint64_t> context = file.get_uint(facts.architecture + ".context_length");
  if (context) facts.context_tokens = static_cast<int64_t>(*context);
  add_weights(facts, file);
  const Result<ModelConfig> config = config_from_gguf(file);
  if (!config) return facts;
  add_experts(facts, file, *config);
  add_memory(facts, file, *config);
  return facts;
}

ModelFacts model_facts(const ModelFile& file) {
  if (file.gguf() != nullptr) return model_facts(*file.gguf());
  ModelFacts facts;
  facts.architecture = file.config().architecture;
  facts.available_bytes = static_cast<int64_t>(available_memory().bytes);
  add_weights(facts, file.weights());
  add_experts(facts, file.weights(), file.config());
  add_memory(facts, file.weights(), file.config());
  return facts;
}

Result<ModelFacts> model_facts(const std::filesystem::path& path) {
  if (ModelFile::names_folder(path)) {
    MK_ASSIGN(const ModelFile file, ModelFile::open(path));
    return model_facts(file);
  }
  MK_ASSIGN(const GgufFile file, GgufFile::open(path));
  return model_facts(file);
}

std::string count_text(int64_t count) {
  const auto number = static_cast<double>(count);
  if (number >= 1e12) return fmt::format("{:.3g}T", number / 1e12);
  if (number >= 1e9) return fmt::format("{:.3g}B", number / 1e9);
  if (number >= 1e6) return fmt::format("{:.4g}M", number / 1e6);
  return fmt::format("{}", count);
}

}  // namespace minke
