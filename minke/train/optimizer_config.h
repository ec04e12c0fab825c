#pragma once
#include <memory>
#include <string>

#include "minke/train/optimizer.h"

namespace minke {

/// The optimizer as recipes and flags set it.
struct OptimizerConfig {
  std::string optimizer = "adamw";
  double beta1 = 0.9;
  double beta2 = 0.95;
  double epsilon = 1e-8;
  double weight_decay = 0.1;
  std::string moments = "f32";
  double momentum = 0.95;
  std::string muon_scale = "match_rms_adamw";
  double adamw_rate = 1.0;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor("optimizer", optimizer, "adamw, or muon: matrices by Muon, all else by AdamW");
    visitor("beta1", beta1, 0.0, 0.999999, "AdamW: decay of the first moment");
    visitor("beta2", beta2, 0.0, 0.999999, "AdamW: decay of the second moment");
    visitor("epsilon", epsilon, 1e-30, 1.0, "AdamW: added to the root of the second moment");
    visitor("weight_decay", weight_decay, 0.0, 100.0,
            "part of a matrix that a step takes away, times the learning rate");
    visitor("moments", moments, "AdamW: what its moments are kept in, f32 or bf16");
    visitor("momentum", momentum, 0.0, 0.999999, "muon: of its average of gradients");
    visitor("muon_scale", muon_scale,
            "muon: match_rms_adamw (with AdamW's learning rates) or original (rates about 0.02)");
    visitor("adamw_rate", adamw_rate, 0.0, 1e6,
            "muon: AdamW's learning rate as a multiple of Muon's");
  }
};

/// kUsage for a word that is none of the setting's.
Result<std::unique_ptr<Optimizer>> make_optimizer(const OptimizerConfig& config);

}  // namespace minke
