#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// What adapter_config.json says of the tensors beside it.
class AdapterConfig {
 public:
  /// `config` is PEFT's. kCorrupt, naming the setting, for a value that cannot be; kUsage for one
  /// that changes what the model computes in a way that minke does not do, unknown ones included.
  static Result<AdapterConfig> parse(const Json& config);

  /// r, or what rank_pattern says of the module ("model.layers.3.self_attn.q_proj").
  int64_t rank_of(std::string_view module) const;
  /// What B A is multiplied by: lora_alpha / rank, or lora_alpha / sqrt(rank) with use_rslora.
  double scale_of(std::string_view module) const;
  const std::string& base_model() const { return base_model_; }

 private:
  // The first pattern that a module's name ends with counts. PEFT takes them for regular
  // expressions; those that are names are read, as they are (dots, too, match any character).
  using Pattern = std::pair<std::string, double>;
  static Result<std::vector<Pattern>> patterns(const Json& config, const char* key, bool whole);

  std::string base_model_;
  int64_t rank_ = 0;
  double alpha_ = 0.0;
  bool rslora_ = false;
  std::vector<Pattern> ranks_;
  std::vector<Pattern> alphas_;
};

}  // namespace minke
