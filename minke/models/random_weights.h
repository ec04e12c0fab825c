#pragma once
#include <map>
#include <string>
#include <vector>

#include "minke/format/weight_file.h"
#include "minke/models/model.h"

namespace minke {

/// The tensors of a model that there is no file of, made as they are asked for (new_model.h). What
/// is dropped is freed.
class RandomWeights final : public WeightFile {
 public:
  struct Draw {
    uint64_t seed = 0;
    double deviation = 0.02;   ///< of matrices, but for what rule_of() says
    bool counts_only = false;  ///< matrices have no bytes: of a PanelStore that does not pack
  };
  /// Device and config must outlive it.
  RandomWeights(const Device& device, const ModelConfig& config, Draw draw);

  /// None are known before they are asked for.
  const std::vector<WeightInfo>& weights() const override { return none_; }
  /// Whether there is such a tensor, as far as files may lack it: MTP modules. Has no bytes.
  const WeightInfo* find(std::string_view name) const override;
  const WeightInfo* find_shaped(std::string_view name, const Shape& shape) const override;
  void drop(std::span<const std::byte> bytes) const override;

  /// What normal numbers of that tensor are multiplied by; 0 where all are `constant`.
  struct Rule {
    double deviation = 0.0;
    float constant = 0.0f;
  };
  Rule rule_of(std::string_view name) const;

 private:
  void fill(std::string_view name, double deviation, std::vector<float>& values) const;

  struct Made {
    WeightInfo info;
    std::vector<float> values;
  };
  const Device& device_;
  const ModelConfig& config_;
  Draw draw_;
  std::vector<WeightInfo> none_;
  WeightInfo present_;
  mutable std::map<std::string, Made, std::less<>> made_;  // by name; one thread
};

}  // namespace minke
