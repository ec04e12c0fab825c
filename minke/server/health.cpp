#include "minke/server/endpoints.h"

namespace minke {

void health(Api& api, const HttpRequest&, Responder responder) {
  const EngineStats engine = api.model().generator->stats();
  const Runs::Counts counts = api.runs().counts();
  responder.send(json_response(Json::object({
      {"status", "ok"},
      {"model", api.model().name},
      {"context_tokens", api.model().context_tokens},
      {"uptime_seconds", api.uptime_seconds()},
      {"requests_running", counts.running},
      {"requests_completed", counts.completed},
      {"requests_cancelled", counts.cancelled},
      {"sequences_running", engine.running},
      {"sequences_waiting", engine.waiting},
      {"prompt_tokens", engine.prompt_tokens},
      {"generated_tokens", engine.generated_tokens},
      {"cached_tokens", engine.cached_tokens},
      {"drafted_tokens", engine.drafted_tokens},
      {"accepted_tokens", engine.accepted_tokens},
      {"mtp_drafted_tokens", engine.mtp_drafted_tokens},
      {"mtp_accepted_tokens", engine.mtp_accepted_tokens},
      {"kv_tokens_used", engine.kv_tokens_used},
      {"kv_tokens_total", engine.kv_tokens_total},
      {"tokens_per_second", api.tokens_per_second()},
  })));
}

}  // namespace minke
