#include "minke/server/completion_format.h"

namespace minke {

std::string CompletionFormat::echo(int index) const {
  const auto at = static_cast<size_t>(index);
  return at < options_.echoes.size() ? options_.echoes[at] : std::string();
}

Json CompletionFormat::logprobs_json(int index, const std::vector<TokenLogprob>& tokens) {
  if (!options_.logprobs) return {};
  const auto at = static_cast<size_t>(index);
  if (text_offsets_.size() <= at) text_offsets_.resize(at + 1, 0);
  Json::Array texts, values, tops, offsets;
  for (const TokenLogprob& token : tokens) {
    texts.emplace_back(token_text(*tokenizer_, token.token));
    values.emplace_back(static_cast<double>(token.logprob));
    Json top = Json::object();
    for (const auto& [id, logprob] : token.top) {
      top.set(token_text(*tokenizer_, id), static_cast<double>(logprob));
    }
    tops.push_back(std::move(top));
    offsets.emplace_back(text_offsets_[at]);
    text_offsets_[at] += static_cast<int64_t>(tokenizer_->token_bytes(token.token).size());
  }
  return Json::object({{"tokens", Json(std::move(texts))},
                       {"token_logprobs", Json(std::move(values))},
                       {"top_logprobs", Json(std::move(tops))},
                       {"text_offset", Json(std::move(offsets))}});
}

Json CompletionFormat::choice(int index, const std::string& text, Json logprobs,
                              Json finish_reason) const {
  return Json::object({{"text", text},
                       {"index", index},
                       {"logprobs", std::move(logprobs)},
                       {"finish_reason", std::move(finish_reason)}});
}

Json CompletionFormat::stream_chunk(Json one_choice) const {
  Json out = head_.to_json("text_completion");
  out.set("choices", Json::array({std::move(one_choice)}));
  return out;
}

Json CompletionFormat::first_chunk(int index) {
  const std::string prompt = echo(index);
  return prompt.empty() ? Json() : stream_chunk(choice(index, prompt, {}, {}));
}

Json CompletionFormat::chunk(int index, const AnswerPart& part) {
  return stream_chunk(choice(index, part.text, logprobs_json(index, part.text_logprobs), {}));
}

Json CompletionFormat::last_chunk(int index, const std::string& finish_reason) {
  return stream_chunk(choice(index, "", {}, finish_reason));
}

Json CompletionFormat::usage_chunk(const Usage& usage) {
  Json out = head_.to_json("text_completion");
  out.set("choices", Json::array());
  out.set("usage", usage.to_json());
  return out;
}

Json CompletionFormat::whole(const std::vector<FinishedAnswer>& answers, const Usage& usage) {
  Json::Array choices;
  for (const FinishedAnswer& answer : answers) {
    const int index = static_cast<int>(choices.size());
    choices.push_back(choice(index, echo(index) + answer.part.text,
                             logprobs_json(index, answer.part.text_logprobs),
                             answer.finish_reason));
  }
  Json out = head_.to_json("text_completion");
  out.set("choices", Json(std::move(choices)));
  out.set("usage", usage.to_json());
  return out;
}

}  // namespace minke
