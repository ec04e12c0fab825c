// Any bytes are a config.json and a generation_config.json: reading ends with settings within their
// limits, or with an Error of bounded length.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "minke/engine/generation_config.h"
#include "minke/models/model.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void require_clear(const minke::Error& error) {
  require(!error.message.empty() && error.message.size() < 4096);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  minke::SamplingParams params;
  const auto applied =
      minke::apply_generation_config(text, params, [](std::string_view) { return false; });
  if (!applied) require_clear(applied.error());
  require(params.temperature >= 0 && params.temperature <= 2 && params.top_k >= 0);
  const auto config = minke::config_from_hf(text);
  if (!config) {
    require_clear(config.error());
    return 0;
  }
  require(config->num_hidden_layers >= 1 && config->hidden_size >= 1);
  require(config->kv_token_bytes(minke::DType::kF32) > 0);
  const minke::MoeConfig& moe = config->moe;
  require(moe.n_routed_experts == 0 || !moe.has_experts(config->num_hidden_layers - 1) ||
          (moe.routing.top_k >= 1 && moe.routing.top_k <= moe.n_routed_experts &&
           moe.n_routed_experts % moe.routing.num_groups == 0));
  return 0;
}
