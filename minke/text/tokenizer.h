#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/text/marked_text.h"

namespace minke {

class GgufFile;
struct TokenizerData;

/// The texts of the files that make a tokenizer of Hugging Face's; empty where there is none.
struct TokenizerTexts {
  std::string tokenizer_json;
  std::string tokenizer_config;
  std::string special_tokens_map;
  std::string generation_config;
  std::string chat_template;  ///< chat_template.jinja
};

/// How Tokenizer::encode treats a plain text.
struct EncodeOptions {
  /// Recognise control tokens that are written out in the text ("<|im_end|>"). Only for text that
  /// we wrote ourselves; user-defined tokens are recognised either way.
  bool parse_special = false;
};

/// Text <-> token ids: byte-level BPE, or BPE of characters with bytes for those that have no token
/// (SentencePiece), as a model's file defines it. Decoding gives back exactly the bytes that were
/// encoded, valid UTF-8 or not, except:
/// - bytes that the vocabulary has no token for are left out, as llama.cpp and Hugging Face do
///   (SmolLM2 lacks six control characters and 15 bytes that no assigned character needs);
/// - SentencePiece writes a space as U+2581, so that this character comes back as a space;
/// - tokenizer.json may ask for Unicode's normal form C, or for white space around a special token
///   to be dropped.
/// It owns its tables, so the file may be closed. All const functions may be called from several
/// threads at once.
class Tokenizer {
 public:
  /// Reads the tokenizer.* metadata. kCorrupt when they are missing or contradict each other;
  /// kFailed when `tokenizer.ggml.model` or `.pre` names a kind that minke does not have. The
  /// models are gpt2 (byte-level BPE), llama (SentencePiece by scores) and gemma4 (the same by
  /// merges).
  static Result<Tokenizer> from_gguf(const GgufFile& file);
  /// Reads a tokenizer.json of at most 40 MB and what lies beside it. kCorrupt when it is malformed
  /// or contradicts itself; kFailed, naming the part, when it asks for something that minke does
  /// not have. All added tokens are looked for in the text as it was written ("normalized" or not).
  static Result<Tokenizer> from_json(const TokenizerTexts& texts);

  /// From what a loader has filled.
  explicit Tokenizer(std::unique_ptr<TokenizerData> data);
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;
  ~Tokenizer();

  /// The ids of a text. No BOS or EOS is added; a space before the first word is, where the model
  /// has been trained so, and decode() takes it away. The cost is linear but for a logarithm.
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;
  /// The ids of a rendered chat: control tokens are recognised only where every byte is trusted;
  /// between them the text is one piece, whoever wrote its parts.
  std::vector<int32_t> encode(const MarkedText& text) const;

  /// The bytes that the ids stand for, control tokens as their text; not always valid UTF-8. An id
  /// outside the vocabulary gives nothing.
  std::string decode(std::span<const int32_t> ids) const;
  /// The bytes one token stands for; a control token gives its text, an unknown id nothing.
  std::string_view token_bytes(int32_t id) const;
  /// Control tokens steer the model and are not shown ("<|im_end|>"); false for unknown ids.
  bool is_control(int32_t id) const;

  /// How many ids there are: 0 .. vocab_size() - 1.
  int32_t vocab_size() const;
  /// Ids with a meaning, where the model has them.
  std::optional<int32_t> bos() const;
  std::optional<int32_t> eos() const;
  std::optional<int32_t> eot() const;  ///< end of a turn, e.g. <|im_end|>
  /// Whether a reply ends with this token: eos, eot, and the other names that models use for these.
  bool is_end_of_generation(int32_t id) const;
  /// All of those ids, ascending.
  const std::vector<int32_t>& end_of_generation_ids() const;
  /// The token with exactly this text (special tokens first), if there is one.
  std::optional<int32_t> find(std::string_view token_text) const;
  /// The file's tokenizer.chat_template; empty when it has none.
  const std::string& chat_template() const;
  /// Whether the model expects BOS before plain text.
  bool add_bos() const;
  /// The name of the pre-tokenizer, e.g. "smollm"; "none" where there is none.
  std::string_view pretokenizer_name() const;

 private:
  std::unique_ptr<TokenizerData> data_;
};

}  // namespace minke
