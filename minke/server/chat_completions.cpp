#include <algorithm>
#include <optional>

#include "minke/base/clock.h"
#include "minke/server/chat_format.h"
#include "minke/server/chat_schema.h"
#include "minke/server/endpoints.h"
#include "minke/text/chat_template.h"
#include "minke/text/reasoning_parser.h"

namespace minke {
namespace {

std::string token_or_empty(const Tokenizer& tokenizer, std::optional<int32_t> id) {
  return id ? std::string(tokenizer.token_bytes(*id)) : std::string();
}

struct ChatPrompt {
  std::vector<int32_t> ids;
  bool opens_reasoning = false;  // it ends with the opening tag
};

ApiResult<ChatPrompt> render_prompt(const ServedModel& model, Json messages) {
  const Tokenizer& tokenizer = *model.tokenizer;
  ChatInput input;
  input.messages = std::move(messages);
  input.bos_token = token_or_empty(tokenizer, tokenizer.bos());
  input.eos_token = token_or_empty(tokenizer, tokenizer.eos());
  const Result<MarkedText> rendered = model.chat_template->render(input);
  if (!rendered) {
    ApiError error = field_error("messages", fmt::format("the model's chat template refuses the "
                                                         "messages: {}",
                                                         rendered.error().message));
    return tl::unexpected(error);
  }
  ChatPrompt prompt;
  prompt.ids = tokenizer.encode(*rendered);
  const bool needs_bos = tokenizer.add_bos() && tokenizer.bos() &&
                         (prompt.ids.empty() || prompt.ids.front() != *tokenizer.bos());
  if (needs_bos) prompt.ids.insert(prompt.ids.begin(), *tokenizer.bos());
  prompt.opens_reasoning = ReasoningParser::opened_by(rendered->text);
  return prompt;
}

ApiResult<RunPlan> plan_chat(const Api& api, const HttpRequest& http) {
  const ServedModel& model = api.model();
  if (model.chat_template == nullptr) {
    return tl::unexpected(status_error(
        400, fmt::format("the model '{}' has no chat template; use /v1/completions", model.name)));
  }
  ApiResult<Json> body = read_json_body(http);
  if (!body) return tl::unexpected(body.error());
  ApiResult<ChatRequest> chat =
      read_chat_request(*body, {model.tokenizer->vocab_size(), model.sampling});
  if (!chat) return tl::unexpected(chat.error());
  if (auto error = check_model(api, chat->generation.model)) return tl::unexpected(*error);
  ApiResult<ChatPrompt> prompt = render_prompt(model, std::move(chat->messages));
  if (!prompt) return tl::unexpected(prompt.error());
  const ApiResult<int> max_tokens =
      tokens_to_generate(api, prompt->ids.size(), chat->generation.max_tokens);
  if (!max_tokens) return tl::unexpected(max_tokens.error());

  RunPlan plan;
  plan.prompt_tokens = static_cast<int64_t>(prompt->ids.size());
  for (int i = 0; i < chat->generation.n; ++i) {
    Request request;
    request.prompt = prompt->ids;
    request.max_tokens = *max_tokens;
    request.stop_tokens = model.tokenizer->end_of_generation_ids();
    request.num_top_logprobs = chat->top_logprobs;
    request.sampling = chat->generation.sampling;
    request.sampling.seed = answer_seed(chat->generation.sampling.seed, i);
    plan.requests.push_back(std::move(request));
  }
  plan.stops = chat->generation.stops;
  plan.stream = chat->generation.stream;
  plan.include_usage = chat->generation.include_usage;
  plan.logprobs = chat->top_logprobs >= 0;
  plan.split_reasoning =
      prompt->opens_reasoning ||
      model.chat_template->source().find(ReasoningParser::kClose) != std::string::npos;
  plan.starts_in_reasoning = prompt->opens_reasoning;
  plan.format = std::make_unique<ChatFormat>(
      AnswerHead{new_answer_id("chatcmpl-"), unix_seconds(), model.name}, model.tokenizer,
      ChatFormat::Options{.thinks = plan.split_reasoning, .logprobs = plan.logprobs});
  return plan;
}

}  // namespace

void chat_completions(Api& api, const HttpRequest& request, Responder responder) {
  ApiResult<RunPlan> plan = plan_chat(api, request);
  if (!plan) return responder.send(error_response(plan.error()));
  api.runs().start(std::move(*plan), std::move(responder));
}

}  // namespace minke
