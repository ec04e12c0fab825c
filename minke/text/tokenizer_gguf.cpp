#include <limits>
#include <memory>
#include <utility>

#include "minke/format/gguf.h"
#include "minke/text/tokenizer.h"
#include "minke/text/tokenizer_builder.h"
#include "minke/text/tokenizer_ends.h"

namespace minke {
namespace {

/// A tokenizer.ggml.model that minke has.
struct ModelKind {
  std::string_view name;
  bool of_characters;
  bool has_scores;      // instead of merges
  bool has_split_name;  // tokenizer.ggml.pre is read; the others do not cut, or into lines
};
constexpr ModelKind kModelKinds[] = {
    {"gpt2", false, false, true},
    {"llama", true, true, false},
    {"gemma4", true, false, false},
};

Result<std::vector<float>> read_scores(const GgufFile& file, size_t count) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  MK_ASSIGN(const GgufArray array, file.get_array(kKey));
  std::vector<float> scores;
  if (array.element_type() == GgufType::kI32) {
    MK_ASSIGN(const auto whole, array.numbers<int32_t>(kKey));
    scores.assign(whole.begin(), whole.end());
  } else {
    MK_ASSIGN(scores, array.numbers<float>(kKey));
  }
  if (scores.size() == count) return scores;
  return fail(ErrorCode::kCorrupt, "tokenizer: {} has {} entries when it should have {}", kKey,
              scores.size(), count);
}

/// Fills a tokenizer from a file's metadata, in the order of load().
class GgufTokenizerLoader {
 public:
  GgufTokenizerLoader(const GgufFile& file, const ModelKind& kind)
      : file_(file), kind_(kind), builder_(kind.of_characters), data_(builder_.data()) {}

  Result<Tokenizer> load() {
    MK_TRY(read_split());
    MK_TRY(read_tokens());
    if (kind_.has_scores) {
      MK_ASSIGN(const auto scores, read_scores(file_, data_.control.size()));
      MK_TRY(builder_.add_scores(scores));
    } else {
      MK_TRY(read_merges());
    }
    MK_TRY(read_roles());
    MK_ASSIGN(data_.add_bos, file_.get_bool_or("tokenizer.ggml.add_bos_token",
                                               data_.pretokenizer.add_bos || kind_.of_characters));
    MK_ASSIGN(const bool prefix,
              file_.get_bool_or("tokenizer.ggml.add_space_prefix", kind_.has_scores));
    if (prefix && kind_.of_characters) data_.prefix = SpacePrefix::kEachFragment;
    MK_ASSIGN(data_.chat_template, file_.get_string_or("tokenizer.chat_template", ""));
    return Tokenizer(builder_.finish());
  }

 private:
  Result<void> read_split() {
    data_.pretokenizer.name = "none";
    if (!kind_.has_split_name) {
      if (!kind_.has_scores) data_.pretokenizer.steps = {split_lines};
      return {};
    }
    constexpr std::string_view kKey = "tokenizer.ggml.pre";
    if (file_.find_value(kKey) == nullptr) {
      return fail(
          ErrorCode::kCorrupt,
          "tokenizer: '{}' is missing, so that it is not known how text is cut; convert the "
          "model again, or write one of {}",
          kKey, pretokenizer_names());
    }
    MK_ASSIGN(const auto name, file_.get_string(kKey));
    const Pretokenizer* row = find_pretokenizer(name);
    if (row == nullptr) {
      return fail(ErrorCode::kFailed, "tokenizer: tokenizer.ggml.pre is '{}', minke has {}", name,
                  pretokenizer_names());
    }
    data_.pretokenizer = *row;
    return {};
  }

  Result<GgufArray> get_strings(std::string_view key) const {
    MK_ASSIGN(const GgufArray array, file_.get_array(key));
    if (array.element_type() == GgufType::kString) return array;
    return fail(ErrorCode::kCorrupt, "tokenizer: {} is an array of {}, expected string", key,
                gguf_type_name(array.element_type()));
  }

  Result<std::vector<int32_t>> read_types(uint64_t count) const {
    constexpr std::string_view kKey = "tokenizer.ggml.token_type";
    if (file_.find_value(kKey) == nullptr) {
      return std::vector<int32_t>(count, static_cast<int32_t>(TokenKind::kNormal));
    }
    MK_ASSIGN(const GgufArray array, file_.get_array(kKey));
    MK_ASSIGN(auto types, array.numbers<int32_t>(kKey));
    if (types.size() == count) return types;
    return fail(ErrorCode::kCorrupt, "tokenizer: {} has {} entries when it should have {}", kKey,
                types.size(), count);
  }

  Result<void> read_tokens() {
    MK_ASSIGN(const GgufArray tokens, get_strings("tokenizer.ggml.tokens"));
    if (tokens.size() > TokenizerBuilder::kVocabMax) {
      return fail(ErrorCode::kCorrupt, "tokenizer: {} tokens, expected at most {}", tokens.size(),
                  TokenizerBuilder::kVocabMax);
    }
    MK_ASSIGN(const auto types, read_types(tokens.size()));
    std::vector<TokenEntry> entries;
    entries.reserve(tokens.size());
    for (const std::string_view text : tokens.strings()) {
      const int32_t type = types[entries.size()];
      const bool known = type >= static_cast<int32_t>(TokenKind::kNormal) &&
                         type <= static_cast<int32_t>(TokenKind::kByte);
      entries.push_back({text, known ? static_cast<TokenKind>(type) : TokenKind::kNormal});
    }
    return builder_.add_tokens(entries);
  }

  Result<void> read_merges() {
    MK_ASSIGN(const GgufArray merges, get_strings("tokenizer.ggml.merges"));
    builder_.reserve_merges(merges.size());
    uint64_t rank = 0;
    for (const std::string_view merge : merges.strings()) {
      // From 1: the left part has a character at least, and a space is none of the alphabet.
      const size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos || space + 1 == merge.size()) {
        return fail(ErrorCode::kCorrupt,
                    "tokenizer: merge {} is no pair of texts with a space between", rank);
      }
      ++rank;
      builder_.add_merge(merge.substr(0, space), merge.substr(space + 1));
    }
    return {};
  }

  /// The id under the key; `otherwise` when there is none, if that is a token.
  Result<std::optional<int32_t>> read_id(std::string_view key, int32_t otherwise = -1) const {
    const auto count = static_cast<uint64_t>(data_.vocab_size());
    if (file_.find_value(key) == nullptr) {
      const bool exists = otherwise >= 0 && static_cast<uint64_t>(otherwise) < count;
      return exists ? std::optional(otherwise) : std::nullopt;
    }
    MK_ASSIGN(const uint64_t id, file_.get_uint(key));
    if (id < count) return static_cast<int32_t>(id);
    // Converters write -1 as 4294967295 for "none".
    if (id == std::numeric_limits<uint32_t>::max()) return std::nullopt;
    return fail(ErrorCode::kCorrupt, "tokenizer: {} is {}, but there are {} tokens", key, id,
                count);
  }

  Result<void> read_roles() {
    const bool spm = kind_.has_scores;  // SentencePiece's defaults, as Llama 1 and 2 have them
    MK_ASSIGN(data_.unknown, read_id("tokenizer.ggml.unknown_token_id", spm ? 0 : -1));
    MK_ASSIGN(data_.bos, read_id("tokenizer.ggml.bos_token_id", spm ? 1 : -1));
    MK_ASSIGN(data_.eos, read_id("tokenizer.ggml.eos_token_id", spm ? 2 : -1));
    NamedEnds ends;
    MK_ASSIGN(ends.eot, read_id("tokenizer.ggml.eot_token_id"));
    MK_ASSIGN(ends.eom, read_id("tokenizer.ggml.eom_token_id"));
    MK_ASSIGN(ends.fim_pad, read_id("tokenizer.ggml.fim_pad_token_id"));
    MK_ASSIGN(ends.fim_rep, read_id("tokenizer.ggml.fim_rep_token_id"));
    MK_ASSIGN(ends.fim_sep, read_id("tokenizer.ggml.fim_sep_token_id"));
    find_ends(ends, data_);
    return {};
  }

  const GgufFile& file_;
  const ModelKind& kind_;
  TokenizerBuilder builder_;
  TokenizerData& data_;
};

}  // namespace

Result<Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  MK_ASSIGN(const auto model, file.get_string("tokenizer.ggml.model"));
  for (const ModelKind& kind : kModelKinds) {
    if (kind.name == model) return GgufTokenizerLoader(file, kind).load();
  }
  return fail(ErrorCode::kFailed,
              "tokenizer: tokenizer.ggml.model is '{}', minke has gpt2 (byte-level BPE), llama "
              "(SentencePiece BPE) and gemma4",
              model);
}

}  // namespace minke
