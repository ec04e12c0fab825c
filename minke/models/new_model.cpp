#include "minke/models/new_model.h"

#include "minke/base/memory.h"
#include "minke/models/random_weights.h"
#include "minke/models/registry.h"

namespace minke {
namespace {

// Counts matrices, until they are more than `bytes_max`.
class BoundedCounter final : public PanelStore {
 public:
  explicit BoundedCounter(uint64_t bytes_max) : bytes_max_(bytes_max) {}
  Result<Tensor> place(const PanelMatrix& matrix, PackRows) override {
    bytes_ += static_cast<uint64_t>(matrix.bytes());
    if (bytes_ <= bytes_max_) return Tensor();
    return fail(ErrorCode::kWillNotFit,
                "the weights of this config take more than the {:.1f} GB of memory that there are; "
                "make it smaller",
                static_cast<double>(bytes_max_) / 1e9);
  }

 private:
  uint64_t bytes_max_;
  uint64_t bytes_ = 0;
};

// A config.json, and what is drawn for it.
struct Plan {
  ModelConfig config;
  RandomWeights::Draw draw;
};

Result<Plan> plan_of(std::string_view config_json, const NewModelOptions& options) {
  Plan plan;
  MK_ASSIGN(plan.config, config_from_hf(config_json));
  MK_ASSIGN(const ModelSettings settings, ModelSettings::from_json(*parse_json(config_json)));
  const double usual = plan.config.architecture == "deepseek_v3" ? 0.006 : 0.02;
  MK_ASSIGN(plan.draw.deviation, settings.number("initializer_range", usual));
  if (!(plan.draw.deviation > 0.0 && plan.draw.deviation <= 1.0)) {
    return fail(ErrorCode::kUsage,
                "config.json: initializer_range is {} when it should be above 0 and at most 1",
                plan.draw.deviation);
  }
  plan.draw.seed = options.seed;
  return plan;
}

Result<std::unique_ptr<Model>> made(const Device& device, const Plan& plan,
                                    const NewModelOptions& options, PanelStore* panels) {
  const RandomWeights weights(device, plan.config, plan.draw);
  LoadOptions load;
  load.precision = Precision::kF32;
  load.context_tokens = options.context_tokens;
  load.mtp_modules = options.mtp_modules;
  load.panels = panels;
  load.trains_weights = true;
  return load_model(device, weights, plan.config, load);
}

Result<int64_t> counted(const Device& device, Plan plan, NewModelOptions options,
                        uint64_t bytes_max) {
  BoundedCounter counter(bytes_max);
  plan.draw.counts_only = true;
  options.context_tokens = 1;
  MK_ASSIGN(const auto model, made(device, plan, options, &counter));
  return model->parameters().num_elements();
}

}  // namespace

Result<std::unique_ptr<Model>> new_model(const Device& device, std::string_view config_json,
                                         const NewModelOptions& options) {
  MK_ASSIGN(const Plan plan, plan_of(config_json, options));
  if (const uint64_t bytes = available_memory().bytes; bytes > 0) {
    MK_TRY(counted(device, plan, options, bytes));
  }
  return made(device, plan, options, nullptr);
}

Result<int64_t> count_parameters(std::string_view config_json, const NewModelOptions& options) {
  MK_ASSIGN(const Plan plan, plan_of(config_json, options));
  return counted(Device(1, false, CpuLevel::kRef), plan, options, UINT64_MAX);
}

}  // namespace minke
