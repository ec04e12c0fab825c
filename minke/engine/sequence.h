#pragma once
#include <cstdint>
#include <vector>

#include "minke/engine/engine.h"
#include "minke/engine/mtp_drafter.h"
#include "minke/engine/prompt_lookup.h"
#include "minke/engine/request.h"
#include "minke/engine/scheduler.h"

namespace minke {

/// A request on its way, owned by the engine's thread.
struct EngineSequence {
  Engine::RequestId id = 0;
  Request request;
  TokenSink sink;
  std::vector<int32_t> tokens;  ///< prompt and generated
  int64_t num_computed = 0;
  int64_t num_cached = -1;  ///< of the prompt, when it was first admitted
  uint64_t version = 0;     ///< of the parameters when its first page was computed
  std::vector<int32_t> page_table;
  PromptLookup lookup;
  MtpDrafter::State mtp;
  std::vector<int32_t> draft;  ///< guessed for the next step, after `tokens`
  bool draft_is_mtps = false;  ///< not PromptLookup's
  bool ended = false;

  int64_t num_generated() const {
    return static_cast<int64_t>(tokens.size() - request.prompt.size());
  }
  SequenceState state() const {
    return {static_cast<int64_t>(tokens.size()), num_computed,
            static_cast<int64_t>(page_table.size())};
  }
};

}  // namespace minke
