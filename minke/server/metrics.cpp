#include "minke/kernels/panel.h"
#include "minke/server/endpoints.h"
#include "minke/server/prometheus_text.h"

namespace minke {
namespace {

// What clients got: sums of the answers' usage.
void add_requests(PrometheusText& text, const Runs::Counts& counts) {
  text.family("minke_requests_total", "counter", "Requests that ended, by how.");
  text.sample("minke_requests_total", "outcome=\"completed\"", counts.completed);
  text.sample("minke_requests_total", "outcome=\"cancelled\"", counts.cancelled);
  text.family("minke_answers_total", "counter", "Answers by finish_reason.");
  for (const auto& [reason, count] : counts.finish_reasons) {
    text.sample("minke_answers_total", fmt::format("finish_reason=\"{}\"", reason), count);
  }
  text.counter("minke_prompt_tokens_total", "Tokens of the prompts of requests that ended.",
               counts.prompt_tokens);
  text.counter("minke_cached_prompt_tokens_total", "Of these, tokens from the prefix cache.",
               counts.cached_tokens);
  text.counter("minke_generation_tokens_total", "Tokens generated for answers.",
               counts.generated_tokens);
  text.gauge("minke_requests_in_flight", "Requests that have not ended.",
             static_cast<double>(counts.running));
  text.histogram("minke_time_to_first_token_seconds", "From request to first token.",
                 counts.first_token);
  text.histogram("minke_inter_token_latency_seconds", "From token to token of an answer.",
                 counts.next_token);
}

// What the engine did, for requests that still run, too.
void add_engine(PrometheusText& text, const EngineStats& stats) {
  text.counter("minke_engine_steps_total", "Forwards of the model.", stats.steps);
  text.counter("minke_engine_prompt_tokens_total", "Tokens of the prompts that were read.",
               stats.prompt_tokens);
  text.counter("minke_engine_cached_prompt_tokens_total",
               "Tokens of the prompts that the prefix cache had.", stats.cached_tokens);
  text.counter("minke_engine_generation_tokens_total",
               "Tokens drawn, those behind a stop string included.", stats.generated_tokens);
  const int64_t mtp_drafted = stats.mtp_drafted_tokens, mtp_right = stats.mtp_accepted_tokens;
  text.family("minke_drafted_tokens_total", "counter", "Tokens guessed ahead, by who guessed.");
  text.sample("minke_drafted_tokens_total", "drafter=\"lookup\"",
              stats.drafted_tokens - mtp_drafted);
  text.sample("minke_drafted_tokens_total", "drafter=\"mtp\"", mtp_drafted);
  text.family("minke_accepted_tokens_total", "counter", "Of these, tokens that were drawn.");
  text.sample("minke_accepted_tokens_total", "drafter=\"lookup\"",
              stats.accepted_tokens - mtp_right);
  text.sample("minke_accepted_tokens_total", "drafter=\"mtp\"", mtp_right);
  text.gauge("minke_sequences_running", "Sequences that generate.", stats.running);
  text.gauge("minke_sequences_waiting", "Sequences that wait for a place.", stats.waiting);
  const auto pages = [](int64_t tokens) {
    return static_cast<double>(tokens) / static_cast<double>(kernels::kPageTokens);
  };
  text.gauge("minke_kv_pages_used", "Pages of the KV cache that sequences hold.",
             pages(stats.kv_tokens_used));
  text.gauge("minke_kv_pages", "Pages of the KV cache.", pages(stats.kv_tokens_total));
}

void add_experts(PrometheusText& text, const std::vector<LayerLoads>& loads) {
  if (loads.empty()) return;
  constexpr const char* kName = "minke_expert_tokens_total";
  text.family(kName, "counter", "Rows that a layer's gate sent to an expert.");
  for (const LayerLoads& layer : loads) {
    for (size_t expert = 0; expert < layer.rows.size(); ++expert) {
      text.sample(kName, fmt::format("layer=\"{}\",expert=\"{}\"", layer.layer, expert),
                  layer.rows[expert]);
    }
  }
}

}  // namespace

void metrics(Api& api, const HttpRequest&, Responder responder) {
  PrometheusText text;
  text.gauge("minke_uptime_seconds", "Seconds since the start.", api.uptime_seconds());
  add_requests(text, api.runs().counts());
  add_engine(text, api.model().generator->stats());
  if (api.model().expert_loads) add_experts(text, api.model().expert_loads());
  HttpResponse response;
  response.content_type = PrometheusText::kContentType;
  response.body = text.take();
  responder.send(std::move(response));
}

}  // namespace minke
