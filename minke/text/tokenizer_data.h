#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "minke/text/bpe.h"
#include "minke/text/joints.h"
#include "minke/text/pretokenizer.h"
#include "minke/text/special_tokens.h"
#include "minke/text/string_index.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// Where a space is put before the text, so that its first word is as any other.
enum class SpacePrefix : uint8_t {
  kNone,
  kFirst,         ///< at the start of the text
  kEachFragment,  ///< there and after each special token
};

/// What a Tokenizer is made of. Filled once by a loader, then only read.
///
/// Byte-level BPE starts from bytes. BPE of characters (SentencePiece) starts from characters, and
/// falls back to bytes for those that have no symbol. In such a vocabulary U+2581 stands for a
/// space; here it is a space, in tokens and in text.
struct TokenizerData {
  std::string bytes;             // of all tokens, one after the other
  std::vector<uint32_t> begins;  // [vocab_size + 1] into `bytes`
  std::vector<bool> control;     // [vocab_size]
  std::vector<bool>
      special_id;     // [vocab_size] found before pre-tokenization: control, user-defined
  StringIndex index;  // the tokens that merges can lead to, by their bytes
  Bpe bpe;            // symbol ids >= vocab_size are steps to a token, but none themselves
  std::array<int32_t, 256> token_of_byte{};  // -1 where the vocabulary lacks the byte
  SpecialTokens special;
  Pretokenizer pretokenizer;
  bool nfc = false;  // text is brought to Unicode's normal form C

  bool of_characters = false;
  std::unordered_map<uint32_t, int32_t> symbol_of_char;  // beyond ASCII, of_characters only
  Joints joints;                                         // of_characters only
  std::optional<int32_t> unknown;                        // for a character without symbol and bytes
  bool fuse_unknown = false;                             // one for several such characters in a row
  // A byte without a token is left out before the merges, which then reach across it, as Hugging
  // Face does; else after them, as llama.cpp does.
  bool drops_missing_bytes = false;
  SpacePrefix prefix = SpacePrefix::kNone;
  bool prefix_unless_space = false;  // not where the text begins with one

  std::vector<int32_t> end_of_generation;  // ascending
  std::optional<int32_t> bos;
  std::optional<int32_t> eos;
  std::optional<int32_t> eot;
  bool add_bos = false;
  std::string chat_template;

  int32_t vocab_size() const { return static_cast<int32_t>(control.size()); }
  std::string_view bytes_of(int32_t id) const {
    const auto i = static_cast<size_t>(id);
    return std::string_view(bytes).substr(begins[i], begins[i + 1] - begins[i]);
  }
  std::optional<int32_t> find_by_bytes(std::string_view token) const {
    return index.find(token, [this](int32_t id) { return bytes_of(id); });
  }
  /// The token of exactly this text, special ones first.
  std::optional<int32_t> find(std::string_view text) const {
    if (const SpecialToken* token = special.find(text)) return token->id;
    return find_by_bytes(text);
  }
};

}  // namespace minke
