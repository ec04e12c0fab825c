#pragma once
#include <functional>
#include <random>

#include "minke/cli/flags.h"
#include "minke/cli/loaded_model.h"
#include "minke/engine/request.h"

namespace minke {

/// How tokens are drawn where a person reads the answer. Temperature 0.7 and top-p 0.95: small
/// models lose the thread at the 0.8 of llama.cpp and ollama more often than they gain by it, and
/// 0.6 is what DeepSeek advises for R1 at the least; what a model's own generation_config.json says
/// goes before it. A person who wants the like again gives --seed.
struct SamplingFlags {
  SamplingParams params;
  std::vector<std::string> stops;
  int max_tokens = 0;

  /// A fresh seed, which --seed replaces.
  SamplingFlags() {
    params.temperature = 0.7;
    params.top_p = 0.95;
    std::random_device entropy;
    params.seed =
        (static_cast<uint64_t>(entropy()) << 32 | entropy()) >> 1;  // fits JSON's integers
  }

  void add_to(Flags& flags) {
    given_ = [&flags](std::string_view name) { return flags.given(name); };
    flags.add("max-tokens,n", max_tokens, {0, 1 << 24},
              "most tokens of the answer; 0: up to the context's end");
    flags.add_visited(params);
    flags.add("seed", params.seed, "seed of the draws; without it each run differs");
    flags.add("stop", stops, "end the answer before this text");
  }

  /// The params for this model: where no flag was given, as its authors recommend.
  Result<SamplingParams> for_model(const LoadedModel& model) const {
    SamplingParams out = params;
    MK_TRY(model.recommend(out, given_));
    return out;
  }

 private:
  std::function<bool(std::string_view)> given_;
};

}  // namespace minke
