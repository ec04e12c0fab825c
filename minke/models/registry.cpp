#include "minke/models/registry.h"

#include "minke/base/utf8.h"
#include "minke/models/deepseek_decoder.h"
#include "minke/models/dense_decoder.h"
#include "minke/models/gpt2.h"

namespace minke {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", llama_config, load_dense},
    {"qwen2", qwen2_config, load_dense},
    {"qwen3", qwen3_config, load_dense},
    {"qwen3moe", qwen3_moe_config, load_dense},
    {"qwen3_moe", qwen3_moe_config, load_dense},
    {"deepseek2", deepseek2_config, load_deepseek},
    {"deepseek_v2", deepseek_v2_config, load_deepseek},
    {"deepseek_v3", deepseek_v3_config, load_deepseek},
    {"gpt2", gpt2_config, load_gpt2},
};

std::string known_names() {
  std::string names;
  for (const Architecture& architecture : kArchitectures) {
    if (!names.empty()) names += ", ";
    names += architecture.name;
  }
  return names;
}

}  // namespace

const Architecture* find_architecture(std::string_view name) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return &architecture;
  }
  return nullptr;
}

namespace {
Result<const Architecture*> known_architecture(std::string_view name) {
  const Architecture* architecture = find_architecture(name);
  if (architecture != nullptr) return architecture;
  return fail(ErrorCode::kUsage, "minke cannot run the architecture '{}' (it has: {})",
              printable_name(name), known_names());
}
}  // namespace

Result<ModelConfig> config_from_gguf(const GgufFile& file) {
  MK_ASSIGN(const std::string_view name, file.get_string("general.architecture"));
  MK_ASSIGN(const Architecture* architecture, known_architecture(name));
  MK_ASSIGN(const ModelSettings settings, ModelSettings::from_gguf(file, name));
  return architecture->read_config(settings);
}

Result<ModelConfig> config_from_hf(std::string_view config_json) {
  auto config = parse_json(config_json);
  if (!config) {
    return fail(ErrorCode::kCorrupt, "config.json: no JSON document: {}", config.error().message);
  }
  return config_from_hf_json(std::move(*config));
}

Result<ModelConfig> config_from_hf_json(Json config) {
  MK_ASSIGN(const ModelSettings settings, ModelSettings::from_json(std::move(config)));
  MK_ASSIGN(const std::string name, settings.text("model_type"));
  MK_ASSIGN(const Architecture* architecture, known_architecture(name));
  return architecture->read_config(settings);
}

Result<std::unique_ptr<Model>> load_model(const Device& device, const WeightFile& file,
                                          const ModelConfig& config, const LoadOptions& options) {
  const Architecture* architecture = find_architecture(config.architecture);
  MK_CHECK(architecture != nullptr, "load_model: no architecture '{}'", config.architecture);
  return architecture->load(device, file, config, options);
}

}  // namespace minke
