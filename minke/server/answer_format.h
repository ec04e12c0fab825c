#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "minke/base/json.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// A generated token with its log-probability and the most likely ones beside it.
struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;
  std::vector<std::pair<int32_t, float>> top;  ///< most likely first
};

/// Some of an answer, or all of it: thought and text, with the tokens that made them if asked for.
struct AnswerPart {
  std::string reasoning;
  std::string text;
  std::vector<TokenLogprob> reasoning_logprobs;
  std::vector<TokenLogprob> text_logprobs;

  bool empty() const {
    return reasoning.empty() && text.empty() && reasoning_logprobs.empty() && text_logprobs.empty();
  }
};

/// A whole answer and why it ended, in the API's words ("stop", "length", ...).
struct FinishedAnswer {
  AnswerPart part;
  std::string finish_reason;
};

/// Tokens of a request. prompt = cached + missed, reasoning <= completion.
struct Usage {
  int64_t prompt = 0;
  int64_t cached = 0;
  int64_t completion = 0;
  int64_t reasoning = 0;

  /// With DeepSeek's and OpenAI's names for the same numbers.
  Json to_json() const;
};

/// How an endpoint prints answers. `index` is the answer's number within the request.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;
  /// The chunk that opens an answer's stream, or null.
  virtual Json first_chunk(int index) = 0;
  virtual Json chunk(int index, const AnswerPart& part) = 0;
  virtual Json last_chunk(int index, const std::string& finish_reason) = 0;
  /// The chunk that carries the usage: no choices.
  virtual Json usage_chunk(const Usage& usage) = 0;
  virtual Json whole(const std::vector<FinishedAnswer>& answers, const Usage& usage) = 0;
};

/// What stands at the top of every answer and chunk.
struct AnswerHead {
  std::string id;  ///< made by the server
  int64_t created = 0;
  std::string model;

  Json to_json(const char* object) const;
};

/// An id such as "chatcmpl-" and 24 hex digits.
std::string new_answer_id(const char* prefix);

/// A token's text as JSON shows it: bytes that are no UTF-8 are U+FFFD.
std::string token_text(const Tokenizer& tokenizer, int32_t token);

}  // namespace minke
