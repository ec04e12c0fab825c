#include <optional>

#include "minke/base/clock.h"
#include "minke/server/completion_format.h"
#include "minke/server/completion_schema.h"
#include "minke/server/endpoints.h"

namespace minke {
namespace {

constexpr int64_t kMaxTokensDefault = 16;  // OpenAI's

// Plain text: control tokens written in it stay text, as in a chat's user messages.
std::vector<int32_t> prompt_ids(const Tokenizer& tokenizer, const CompletionPrompt& prompt) {
  if (const auto* ids = std::get_if<std::vector<int32_t>>(&prompt)) return *ids;
  std::vector<int32_t> ids = tokenizer.encode(std::get<std::string>(prompt));
  if (tokenizer.add_bos() && tokenizer.bos()) ids.insert(ids.begin(), *tokenizer.bos());
  return ids;
}

std::string prompt_text(const Tokenizer& tokenizer, const CompletionPrompt& prompt) {
  if (const auto* text = std::get_if<std::string>(&prompt)) return *text;
  return tokenizer.decode(std::get<std::vector<int32_t>>(prompt));
}

// Adds the n answers of one prompt to the plan.
std::optional<ApiError> add_prompt(const Api& api, const CompletionRequest& completion,
                                   const CompletionPrompt& prompt, RunPlan& plan) {
  const GenerationFields& generation = completion.generation;
  Request request;
  request.prompt = prompt_ids(*api.model().tokenizer, prompt);
  const ApiResult<int> max_tokens = tokens_to_generate(
      api, request.prompt.size(), generation.max_tokens.value_or(kMaxTokensDefault));
  if (!max_tokens) return max_tokens.error();
  request.max_tokens = *max_tokens;
  request.stop_tokens = api.model().tokenizer->end_of_generation_ids();
  request.num_top_logprobs = completion.num_logprobs;
  request.sampling = generation.sampling;
  plan.prompt_tokens += static_cast<int64_t>(request.prompt.size());
  for (int i = 0; i < generation.n; ++i) {
    request.sampling.seed = answer_seed(generation.sampling.seed, i);
    plan.requests.push_back(request);
  }
  return std::nullopt;
}

ApiResult<RunPlan> plan_completion(const Api& api, const HttpRequest& http) {
  const Tokenizer& tokenizer = *api.model().tokenizer;
  ApiResult<Json> body = read_json_body(http);
  if (!body) return tl::unexpected(body.error());
  const ApiResult<CompletionRequest> completion =
      read_completion_request(*body, {tokenizer.vocab_size(), api.model().sampling});
  if (!completion) return tl::unexpected(completion.error());
  if (auto error = check_model(api, completion->generation.model)) return tl::unexpected(*error);

  RunPlan plan;
  CompletionFormat::Options options{.logprobs = completion->num_logprobs >= 0, .echoes = {}};
  for (const CompletionPrompt& prompt : completion->prompts) {
    if (auto error = add_prompt(api, *completion, prompt, plan)) return tl::unexpected(*error);
    if (!completion->echo) continue;
    const std::string text = prompt_text(tokenizer, prompt);
    options.echoes.insert(options.echoes.end(), static_cast<size_t>(completion->generation.n),
                          text);
  }
  plan.stops = completion->generation.stops;
  plan.stream = completion->generation.stream;
  plan.include_usage = completion->generation.include_usage;
  plan.logprobs = options.logprobs;
  plan.format = std::make_unique<CompletionFormat>(
      AnswerHead{new_answer_id("cmpl-"), unix_seconds(), api.model().name}, &tokenizer,
      std::move(options));
  return plan;
}

}  // namespace

void completions(Api& api, const HttpRequest& request, Responder responder) {
  ApiResult<RunPlan> plan = plan_completion(api, request);
  if (!plan) return responder.send(error_response(plan.error()));
  api.runs().start(std::move(*plan), std::move(responder));
}

}  // namespace minke
