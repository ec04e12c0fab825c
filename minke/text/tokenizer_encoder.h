#pragma once
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/text/marked_text.h"
#include "minke/text/piece_cache.h"
#include "minke/text/tokenizer_data.h"

namespace minke {

/// One call of Tokenizer::encode():
///
/// 1. cuts the text at special tokens into fragments;
/// 2. normalises a fragment where the model wants that;
/// 3. cuts it into pieces: pre-tokenizer, and joints for BPE of characters;
/// 4. looks each piece up among those met before, or merges it.
class TokenizerEncoder {
 public:
  /// Appends to `ids`. Both must outlive this, and so must the text.
  TokenizerEncoder(const TokenizerData& data, size_t text_bytes, std::vector<int32_t>& ids)
      : data_(data), ids_(ids), cache_(text_bytes) {}

  void encode(std::string_view text, std::span<const TextRange> untrusted);

 private:
  void encode_fragment(std::string_view fragment, bool is_first);
  std::string_view normalized(std::string_view fragment, bool is_first);
  void encode_pieces(std::string_view text);
  void encode_at_joints(std::string_view piece);
  void encode_piece(std::string_view piece);
  void merge_piece(std::string_view piece);
  void merge_characters(std::string_view piece);
  void append_characters(std::string_view piece, const std::vector<BpeSymbol>& symbols);
  void append_fallback(std::string_view bytes);

  const TokenizerData& data_;
  std::vector<int32_t>& ids_;
  PieceCache cache_;
  Bpe::Scratch scratch_;
  std::deque<std::string> normalized_;  // kept: the cache points into them
};

}  // namespace minke
