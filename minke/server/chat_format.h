#pragma once
#include "minke/server/answer_format.h"

namespace minke {

/// chat.completion and chat.completion.chunk. Reasoning fields appear only if the model thinks.
class ChatFormat final : public AnswerFormat {
 public:
  struct Options {
    bool thinks = false;    ///< the model's replies have a thought
    bool logprobs = false;  ///< show `logprobs` instead of null
  };
  /// The tokenizer must outlive this.
  ChatFormat(AnswerHead head, const Tokenizer* tokenizer, Options options)
      : head_(std::move(head)), tokenizer_(tokenizer), options_(options) {}

  Json first_chunk(int index) override;
  Json chunk(int index, const AnswerPart& part) override;
  Json last_chunk(int index, const std::string& finish_reason) override;
  Json usage_chunk(const Usage& usage) override;
  Json whole(const std::vector<FinishedAnswer>& answers, const Usage& usage) override;

 private:
  Json stream_chunk(int index, Json delta, Json logprobs, Json finish_reason) const;
  Json logprobs_json(const AnswerPart& part) const;
  Json tokens_json(const std::vector<TokenLogprob>& tokens) const;

  AnswerHead head_;
  const Tokenizer* tokenizer_;
  Options options_;
};

}  // namespace minke
