#pragma once
#include <optional>
#include <span>

#include "minke/server/api.h"

namespace minke {

/// The table of all endpoints.
std::span<const Route> routes();

/// POST /v1/chat/completions
void chat_completions(Api& api, const HttpRequest& request, Responder responder);
/// POST /v1/completions
void completions(Api& api, const HttpRequest& request, Responder responder);
/// GET /v1/models
void list_models(Api& api, const HttpRequest& request, Responder responder);
/// GET /v1/models/NAME is answered by the table's prefix row "/v1/models/".
void show_model(Api& api, const HttpRequest& request, Responder responder);
/// GET /health: counters and sizes, never a prompt.
void health(Api& api, const HttpRequest& request, Responder responder);
/// GET /metrics: what /health says, and more, in Prometheus' text format.
void metrics(Api& api, const HttpRequest& request, Responder responder);
/// GET /: a page for people.
void page(Api& api, const HttpRequest& request, Responder responder);

/// Shared by the two completion endpoints: the body as JSON, or an error about its type or content.
ApiResult<Json> read_json_body(const HttpRequest& request);
/// Whether the model is served here, as an error if not.
std::optional<ApiError> check_model(const Api& api, const std::string& name);
/// The most tokens to generate after a prompt, or DeepSeek's error with both numbers.
ApiResult<int> tokens_to_generate(const Api& api, size_t prompt_tokens,
                                  std::optional<int64_t> max_tokens);

}  // namespace minke
