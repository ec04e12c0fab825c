#include "minke/cli/model_facts.h"

#include <algorithm>
#include <map>
#include <sstream>

#include "minke/base/files.h"
#include "minke/cli/loaded_model.h"

namespace minke {
namespace {

// Activations, logits, thread stacks and the tokenizer, beside weights and cache: SmolLM2-135M's
// `minke run` held 21 MB more than its file, and a tokenizer of 150,000 tokens is another 20 MB.
constexpr int64_t kWorkBytes = 40'000'000;

std::string main_format(const GgufFile& file) {
  std::map<std::string_view, uint64_t> bytes;
  for (const WeightInfo& weight : file.weights()) {
    bytes[dtype_info(weight.dtype).name] += weight.bytes.size();
  }
  const auto most = std::max_element(
      bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "none" : std::string(most->first);
}

void add_memory(ModelFacts& facts, const GgufFile& file) {
  const Result<ModelConfig> config = config_from_gguf(file);
  if (!config) return;
  const bool quantized =
      std::any_of(file.weights().begin(), file.weights().end(),
                  [](const WeightInfo& weight) { return is_block_quantized(weight.dtype); });
  facts.context_tokens = config->max_position_embeddings;
  facts.default_context_tokens = std::min(facts.context_tokens, kContextDefaultMax);
  facts.cache_bytes =
      config->kv_token_bytes(quantized ? DType::kF16 : DType::kF32) * facts.default_context_tokens;
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
}

ModelFacts model_facts(const GgufFile& file) {
  ModelFacts facts;
  facts.architecture = file.get_string_or("general.architecture", "unknown").value_or("unknown");
  facts.format = main_format(file);
  for (const WeightInfo& weight : file.weights()) {
    facts.parameters += weight.shape.num_elements();
    facts.weight_bytes += static_cast<int64_t>(weight.bytes.size());
  }
  const Result<uint64_t> context = file.get_uint(facts.architecture + ".context_length");
  if (context) facts.context_tokens = static_cast<int64_t>(*context);
  facts.available_bytes = static_cast<int64_t>(meminfo_bytes("MemAvailable"));
  add_memory(facts, file);
  return facts;
}

Result<ModelFacts> model_facts(const std::filesystem::path& path) {
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

uint64_t meminfo_bytes(const std::string& field) {
  const Result<std::string> text = read_file("/proc/meminfo");
  if (!text) return 0;
  std::istringstream lines(*text);
  std::string name;
  uint64_t kilobytes = 0;
  std::string rest;
  while (lines >> name >> kilobytes && std::getline(lines, rest)) {
    if (name == field + ":") return kilobytes * 1024;
  }
  return 0;
}

}  // namespace minke
