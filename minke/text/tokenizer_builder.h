#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "minke/base/result.h"
#include "minke/text/tokenizer_data.h"

namespace minke {

/// Kinds of tokens; the numbers are those of tokenizer.ggml.token_type.
enum class TokenKind : uint8_t {
  kNormal = 1,
  kUnknown,
  kControl,
  kUserDefined,  ///< found in any text before pre-tokenization
  kUnused,
  kByte,  ///< "<0x0A>"
};

/// One token as a file has it.
struct TokenEntry {
  std::string_view text;  ///< in the file's spelling; empty for an id that is not used
  TokenKind kind = TokenKind::kNormal;
  bool lstrip = false;  ///< these three as in SpecialToken
  bool rstrip = false;
  bool single_word = false;
};

/// Fills the tables of a tokenizer; the loaders of the file formats use it, in this order:
/// construct, add_tokens, then add_merge for each or add_scores, finish. The rest of data() is
/// theirs to set.
class TokenizerBuilder {
 public:
  /// The most tokens that a vocabulary may have; the largest known has 262,144.
  static constexpr uint64_t kVocabMax = uint64_t{1} << 21;

  explicit TokenizerBuilder(bool of_characters);
  TokenizerData& data() { return *data_; }

  /// The tokens of ids 0, 1, ... kCorrupt when there are none or too many.
  Result<void> add_tokens(std::span<const TokenEntry> entries);
  /// Makes room for that many merges.
  void reserve_merges(size_t count) { data_->bpe.reserve(count); }
  /// Adds the next merge, of texts in the file's spelling. False when one is not written in the
  /// vocabulary's alphabet, or empty: such a merge can never apply.
  bool add_merge(std::string_view left, std::string_view right);
  /// SentencePiece: of two neighbours those are joined that make the token of the highest score.
  /// One score for each token. kCorrupt when one is not a number or the tokens' texts are so long
  /// that their merges would take minutes to list.
  Result<void> add_scores(std::span<const float> scores);
  /// The tables, complete.
  std::unique_ptr<TokenizerData> finish();

 private:
  void add_token(int32_t id, const TokenEntry& entry);
  bool append_spelled(std::string& out, std::string_view text) const;
  int32_t symbol_of(std::string_view bytes);
  void add_joint(std::string_view left, std::string_view right);
  template <class Visit>
  void for_each_split(int32_t id, const Visit& visit);

  std::unique_ptr<TokenizerData> data_;
  std::vector<SpecialToken> special_;
  std::string merge_text_;
  // Symbols that are no tokens, from vocab_size on: steps to a token, characters without one.
  std::unordered_map<std::string, int32_t> steps_;
};

}  // namespace minke
