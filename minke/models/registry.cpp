#include "minke/models/registry.h"

namespace minke {
namespace {

constexpr Architecture kArchitectures[] = {
    {"llama", llama_config, load_llama},
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

Result<ModelConfig> config_from_gguf(const GgufFile& file) {
  MK_ASSIGN(const std::string_view name, file.get_string("general.architecture"));
  const Architecture* architecture = find_architecture(name);
  if (architecture == nullptr) {
    return fail(ErrorCode::kUsage, "minke cannot run the architecture '{}' (it has: {})", name,
                known_names());
  }
  return architecture->read_config(file);
}

Result<std::unique_ptr<Model>> load_model(const Device& device, const WeightFile& file,
                                          const ModelConfig& config, const LoadOptions& options) {
  const Architecture* architecture = find_architecture(config.architecture);
  MK_CHECK(architecture != nullptr, "load_model: no architecture '{}'", config.architecture);
  return architecture->load(device, file, config, options);
}

}  // namespace minke
