#include "minke/train/trainable_model.h"

#include <atomic>
#include <cmath>
#include <string>
#include <utility>

#include "minke/models/new_adapter.h"

namespace minke {
namespace {

// Panels of joined matrices do not tell where one ends, so all of their names are told.
std::string joined_names(const Parameter& parameter) {
  std::string names;
  for (const std::string& name : parameter.names) names += (names.empty() ? "" : ", ") + name;
  return names;
}

}  // namespace

Result<void> check_finite(const Device& device, const ParameterStore& store) {
  constexpr int64_t kGrain = 1 << 16;
  for (const Parameter& parameter : store.parameters()) {
    if (parameter.value.dtype() != DType::kF32) continue;
    const std::span<const float> values = parameter.value.span<float>();
    std::atomic<bool> finite{true};
    device.pool().parallel_for(static_cast<int64_t>(values.size()), kGrain,
                               [&](int64_t begin, int64_t end, int) {
                                 // A sum of differences with itself is 0 unless one is not finite.
                                 float sum = 0;
                                 for (int64_t i = begin; i < end; ++i) sum += values[i] - values[i];
                                 if (sum != 0.0f) finite = false;
                               });
    if (finite) continue;
    return fail(ErrorCode::kCorrupt,
                "tensor {} has numbers that are NaN or infinite: train from other weights",
                joined_names(parameter));
  }
  return {};
}

Result<TrainableModel> load_for_training(const Device& device, ModelFile file,
                                         int64_t context_tokens, const LoraDeltas* adapters) {
  const ModelConfig& config = file.config();
  if (context_tokens > config.max_position_embeddings) {
    return fail(ErrorCode::kWillNotFit, "sequences of {} tokens, but the model was made for {}",
                context_tokens, config.max_position_embeddings);
  }
  LoadOptions options;
  options.precision = Precision::kF32;
  options.context_tokens = context_tokens;
  options.caches_latents = false;
  options.mtp_modules = config.num_nextn_predict_layers;
  options.trains_weights = adapters == nullptr;
  options.adapters = adapters;
  MK_ASSIGN(auto model, load_model(device, file.weights(), config, options));
  MK_TRY(check_finite(device, model->parameters()));
  if (adapters != nullptr) train_adapters_only(model->parameters());
  return TrainableModel{std::move(file), std::move(model)};
}

Result<TrainableModel> load_for_training(const Device& device, const std::filesystem::path& path,
                                         int64_t context_tokens) {
  MK_ASSIGN(ModelFile file, ModelFile::open(path));
  return load_for_training(device, std::move(file), context_tokens);
}

Result<void> check_vocabulary(const TokenDataset& data, const ModelConfig& config) {
  const int64_t needed = data.info().vocab_size;
  if (needed <= config.vocab_size) return {};
  return fail(ErrorCode::kUsage,
              "{} is of a vocabulary of {} tokens, but the model's has {}: prepare the data with "
              "the model's tokenizer",
              data.shards().front().name(), needed, config.vocab_size);
}

}  // namespace minke
