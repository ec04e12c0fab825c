#include "minke/models/moe_loader.h"

namespace minke {

Result<Moe> load_moe(ParameterLoader& loader, const std::string& prefix, const ModelConfig& config,
                     Precision precision) {
  const int64_t hidden = config.hidden_size, width = config.moe.moe_intermediate_size;
  const int64_t count = config.moe.n_routed_experts;
  Moe moe;
  MK_ASSIGN(auto gate, loader.matrices({{prefix + "ffn_gate_inp.weight", count}}, hidden));
  moe.gate = Linear(std::move(gate), Precision::kF32);
  moe.routing = config.moe.routing;
  moe.loads = ExpertLoads(static_cast<size_t>(count));
  if (config.moe.has_bias) {
    MK_ASSIGN(moe.bias, loader.vector(prefix + "exp_probs_b.bias", count));
  }
  for (int64_t e = 0; e < count; ++e) {
    const auto name = [&](const char* part) {
      return fmt::format("{}ffn_{}_exps.{}.weight", prefix, part, e);
    };
    MK_ASSIGN(auto gate_up, loader.matrices({{name("gate"), width}, {name("up"), width}}, hidden));
    MK_ASSIGN(auto down, loader.matrices({{name("down"), hidden}}, width));
    moe.experts.push_back(
        {Linear(std::move(gate_up), precision), Linear(std::move(down), precision)});
  }
  return moe;
}

}  // namespace minke
