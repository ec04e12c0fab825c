#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/data/record.h"
#include "minke/data/shard_writer.h"
#include "minke/text/chat_template.h"
#include "minke/text/marked_text.h"

namespace minke {

class Tokenizer;

/// How records become tokens.
struct EncoderOptions {
  /// Prompts and answers in plain words become messages of user and assistant, by the chat
  /// template; else prompt, separator, answer and end of text follow each other.
  bool chat = false;
  std::string separator = "\n";
  bool append_eos = true;  ///< an end of text after plain texts and answers, where there is one
  double fim_rate = 0.0;   ///< share of texts that are rearranged to fill in a middle
  uint64_t seed = 0;
};

/// Turns records into token ids with their loss masks. Learned are texts as a whole, and of
/// conversations the assistant's turns: what follows on the generation prompt up to the token that
/// ends the turn, which is what the model is to write when it is served. Prompts are encoded apart
/// from answers, as serving does. Several threads may use one at a time.
class ExampleEncoder {
 public:
  /// kUsage when `chat` is asked of a tokenizer without a template, or a rate of fill-in-middle of
  /// one without its control tokens. The tokenizer must outlive this.
  static Result<ExampleEncoder> create(const Tokenizer& tokenizer, const EncoderOptions& options);

  /// The documents of a record: one, or two of a pair. kCorrupt when the template refuses the
  /// messages or writes them so that turns cannot be found; when the tokenizer lacks what the text
  /// is written in.
  Result<std::vector<TokenDocument>> encode(const Record& record) const;

  /// A text, or a part of one: with BOS before the first part and EOS after the last.
  struct TextPart {
    bool first = true;
    bool last = true;
  };
  Result<TokenDocument> encode_text(std::string_view text, TextPart part) const;

 private:
  /// The control tokens around the parts of a text whose middle is to be filled in.
  struct FimTokens {
    int32_t prefix = 0;
    int32_t suffix = 0;
    int32_t middle = 0;
  };
  explicit ExampleEncoder(const Tokenizer& tokenizer, EncoderOptions options)
      : tokenizer_(&tokenizer), options_(std::move(options)) {}
  Result<void> find_fim_tokens();
  void append_rearranged(std::string_view text, TokenDocument& out) const;
  void append_ids(const std::vector<int32_t>& ids, bool learned, TokenDocument& out) const;
  Result<TokenDocument> finish(TokenDocument document, size_t text_bytes) const;
  Result<TokenDocument> encode_plain(std::string_view prompt, std::string_view answer) const;
  Result<TokenDocument> encode_chat(const Json& messages, size_t first_learned,
                                    const Json& tools) const;
  Result<MarkedText> render(const Json& messages, size_t count, const Json& tools,
                            bool generation_prompt) const;
  Result<std::vector<TextRange>> learned_ranges(const MarkedText& whole, const Json& messages,
                                                size_t first_learned, const Json& tools) const;
  size_t end_of_turn(const MarkedText& whole, TextRange range) const;
  void append(const MarkedText& whole, TextRange range, bool learned, TokenDocument& out) const;

  const Tokenizer* tokenizer_;
  EncoderOptions options_;
  std::optional<ChatTemplate> template_;
  std::optional<FimTokens> fim_;
  bool adds_space_ = false;  // before a text, as SentencePiece does
};

}  // namespace minke
