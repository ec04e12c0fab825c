#include "minke/server/chat_format.h"

namespace minke {
namespace {

Json bytes_json(std::string_view bytes) {
  Json::Array out;
  for (const char c : bytes) out.emplace_back(static_cast<int>(static_cast<unsigned char>(c)));
  return Json(std::move(out));
}

}  // namespace

Json ChatFormat::tokens_json(const std::vector<TokenLogprob>& tokens) const {
  const auto entry = [this](int32_t token, float logprob) {
    return Json::object({{"token", token_text(*tokenizer_, token)},
                         {"logprob", static_cast<double>(logprob)},
                         {"bytes", bytes_json(tokenizer_->token_bytes(token))}});
  };
  Json::Array out;
  for (const TokenLogprob& token : tokens) {
    Json item = entry(token.token, token.logprob);
    Json::Array top;
    for (const auto& [id, logprob] : token.top) top.push_back(entry(id, logprob));
    item.set("top_logprobs", Json(std::move(top)));
    out.push_back(std::move(item));
  }
  return Json(std::move(out));
}

Json ChatFormat::logprobs_json(const AnswerPart& part) const {
  if (!options_.logprobs) return {};
  Json out = Json::object({{"content", tokens_json(part.text_logprobs)}});
  if (options_.thinks) out.set("reasoning_content", tokens_json(part.reasoning_logprobs));
  return out;
}

Json ChatFormat::stream_chunk(int index, Json delta, Json logprobs, Json finish_reason) const {
  Json choice = Json::object({{"index", index},
                              {"delta", std::move(delta)},
                              {"logprobs", std::move(logprobs)},
                              {"finish_reason", std::move(finish_reason)}});
  Json out = head_.to_json("chat.completion.chunk");
  out.set("choices", Json::array({std::move(choice)}));
  return out;
}

Json ChatFormat::first_chunk(int index) {
  return stream_chunk(index, Json::object({{"role", "assistant"}, {"content", ""}}), {}, {});
}

Json ChatFormat::chunk(int index, const AnswerPart& part) {
  Json delta = Json::object();
  if (!part.reasoning.empty()) delta.set("reasoning_content", part.reasoning);
  if (!part.text.empty() || part.reasoning.empty()) {
    delta.set("content", part.text);
  } else {
    delta.set("content", nullptr);
  }
  return stream_chunk(index, std::move(delta), logprobs_json(part), {});
}

Json ChatFormat::last_chunk(int index, const std::string& finish_reason) {
  return stream_chunk(index, Json::object({{"content", ""}}), {}, finish_reason);
}

Json ChatFormat::usage_chunk(const Usage& usage) {
  Json out = head_.to_json("chat.completion.chunk");
  out.set("choices", Json::array());
  out.set("usage", usage.to_json());
  return out;
}

Json ChatFormat::whole(const std::vector<FinishedAnswer>& answers, const Usage& usage) {
  Json::Array choices;
  for (const FinishedAnswer& answer : answers) {
    Json message = Json::object({{"role", "assistant"}, {"content", answer.part.text}});
    if (options_.thinks) message.set("reasoning_content", answer.part.reasoning);
    choices.push_back(Json::object({{"index", static_cast<int64_t>(choices.size())},
                                    {"message", std::move(message)},
                                    {"logprobs", logprobs_json(answer.part)},
                                    {"finish_reason", answer.finish_reason}}));
  }
  Json out = head_.to_json("chat.completion");
  out.set("choices", Json(std::move(choices)));
  out.set("usage", usage.to_json());
  return out;
}

}  // namespace minke
