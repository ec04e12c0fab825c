#include "minke/train/optimizer_config.h"

#include "minke/train/word.h"

namespace minke {

Result<std::unique_ptr<Optimizer>> make_optimizer(const OptimizerConfig& config) {
  enum class Kind { kAdamW, kMuon };
  static constexpr Word<Kind> kKinds[] = {{"adamw", Kind::kAdamW}, {"muon", Kind::kMuon}};
  static constexpr Word<DType> kMoments[] = {{"f32", DType::kF32}, {"bf16", DType::kBf16}};
  static constexpr Word<MuonScale> kScales[] = {{"match_rms_adamw", MuonScale::kMatchRmsAdamW},
                                                {"original", MuonScale::kOriginal}};
  MK_ASSIGN(const Kind kind, find_word("optimizer", config.optimizer, kKinds));
  MK_ASSIGN(const DType moments, find_word("moments", config.moments, kMoments));
  MK_ASSIGN(const MuonScale scale, find_word("muon_scale", config.muon_scale, kScales));
  const AdamWConfig adamw{config.beta1, config.beta2, config.epsilon, config.weight_decay, moments};
  if (kind == Kind::kAdamW) return make_adamw(adamw);
  return make_muon({config.momentum, config.weight_decay, scale, config.adamw_rate, adamw});
}

}  // namespace minke
