#include "minke/train/fine_tuning.h"

#include <span>
#include <utility>

#include "minke/train/model_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModelFolder = "model";  // in the run's

}  // namespace

Result<FineTunedModel> FineTunedModel::load(const Device& device, const fs::path& init,
                                            int64_t context_tokens, const FineTuningConfig& config,
                                            uint64_t seed) {
  MK_ASSIGN(ModelFile file, ModelFile::open(init));
  const bool has_adapter = config.lora.r > 0 || !config.adapter.empty();
  if (!has_adapter) {
    MK_ASSIGN(TrainableModel loaded, load_for_training(device, std::move(file), context_tokens));
    return FineTunedModel(std::move(loaded), config.init, false);
  }
  MK_ASSIGN(const Adapter adapter,
            config.adapter.empty() ? new_adapter(file.weights(), file.config(), config.lora, seed)
                                   : read_adapter(config.adapter));
  MK_ASSIGN(const LoraDeltas deltas,
            fit_adapters(std::span(&adapter, 1), file.weights(), file.config()));
  MK_ASSIGN(TrainableModel loaded,
            load_for_training(device, std::move(file), context_tokens, &deltas));
  return FineTunedModel(std::move(loaded), config.init, true);
}

Result<void> FineTunedModel::prepare(const fs::path& run) const {
  if (has_adapter_) return {};
  return make_model_folder(loaded_.file, run / kModelFolder);
}

Result<void> FineTunedModel::write(const Device& device, const fs::path& run,
                                   const fs::path& to) const {
  if (has_adapter_) return write_adapter(to, adapter_of(device, model(), name_));
  return write_model(model(), device.pool().num_threads(), run / kModelFolder, to);
}

Result<void> FineTunedModel::read(const Device& device, const fs::path& from) const {
  if (!has_adapter_) return read_weights(device, from, model());
  MK_ASSIGN(const Adapter adapter, read_adapter(from));
  return set_adapter(device, adapter, model());
}

}  // namespace minke
