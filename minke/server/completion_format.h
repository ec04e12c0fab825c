#pragma once
#include "minke/server/answer_format.h"

namespace minke {

/// text_completion, streamed and whole (chunks have the same object name).
class CompletionFormat final : public AnswerFormat {
 public:
  struct Options {
    bool logprobs = false;
    std::vector<std::string> echoes;  ///< per answer: the prompt to repeat before it, or empty
  };
  /// The tokenizer must outlive this.
  CompletionFormat(AnswerHead head, const Tokenizer* tokenizer, Options options)
      : head_(std::move(head)), tokenizer_(tokenizer), options_(std::move(options)) {}

  Json first_chunk(int index) override;
  Json chunk(int index, const AnswerPart& part) override;
  Json last_chunk(int index, const std::string& finish_reason) override;
  Json usage_chunk(const Usage& usage) override;
  Json whole(const std::vector<FinishedAnswer>& answers, const Usage& usage) override;

 private:
  Json choice(int index, const std::string& text, Json logprobs, Json finish_reason) const;
  Json stream_chunk(Json choice) const;
  Json logprobs_json(int index, const std::vector<TokenLogprob>& tokens);
  std::string echo(int index) const;

  AnswerHead head_;
  const Tokenizer* tokenizer_;
  Options options_;
  std::vector<int64_t> text_offsets_;  // per answer: bytes of the tokens so far
};

}  // namespace minke
