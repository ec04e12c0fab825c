#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <unordered_map>
#include <utility>

#include "minke/format/gguf.h"
#include "minke/text/byte_alphabet.h"
#include "minke/text/tokenizer.h"
#include "minke/text/tokenizer_data.h"

namespace minke {
namespace {

constexpr uint64_t kVocabMax = uint64_t{1} << 24;

/// Values of tokenizer.ggml.token_type.
enum class TokenType : int32_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

/// Files do not say which tokens end a reply, beyond eos; models are known by these names, of which
/// llama.cpp keeps the list. A token of such a name is a control token whatever its type says.
constexpr std::string_view kEndNames[] = {"<|eot_id|>",
                                          "<|im_end|>",
                                          "<|end|>",
                                          "<|return|>",
                                          "<|call|>",
                                          "<|flush|>",
                                          "<|calls|>",
                                          "<|eom_id|>",
                                          "<end_of_turn>",
                                          "<|endoftext|>",
                                          "</s>",
                                          "<EOT>",
                                          "_<EOT>",
                                          "[EOT]",
                                          "[EOS]",
                                          "<eos>",
                                          "<turn|>",
                                          "[e~[",
                                          "<|end_of_text|>",
                                          "<end_of_utterance>",
                                          "<|tool_response>",
                                          "<｜end▁of▁sentence｜>"};

/// Roles of tokens that end a reply: the metadata key, or else the first of these names.
struct EndRole {
  std::string_view key;
  std::array<std::string_view, 11> names;
};
constexpr EndRole kEndOfTurn = {
    "tokenizer.ggml.eot_token_id",
    {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>",
     "<EOT>", "_<EOT>", "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>"}};
constexpr EndRole kOtherEndRoles[] = {
    {"tokenizer.ggml.eom_token_id", {"<|eom_id|>"}},
    {"tokenizer.ggml.fim_pad_token_id",
     {"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}},
    {"tokenizer.ggml.fim_rep_token_id",
     {"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}},
    {"tokenizer.ggml.fim_sep_token_id", {"<|file_sep|>"}},
};

bool is_end_name(std::string_view text) {
  if (text.empty() || (text[0] != '<' && text[0] != '[' && text[0] != '_')) return false;
  return std::find(std::begin(kEndNames), std::end(kEndNames), text) != std::end(kEndNames);
}

}  // namespace

/// Fills a Tokenizer::Data from a file's metadata, member by member in the order of load().
class GgufTokenizerLoader {
 public:
  explicit GgufTokenizerLoader(const GgufFile& file)
      : file_(file), data_(std::make_unique<Tokenizer::Data>()) {}

  Result<Tokenizer> load() {
    MK_TRY(read_kind());
    MK_TRY(read_tokens());
    MK_TRY(read_merges());
    MK_TRY(read_roles());
    MK_ASSIGN(data_->add_bos, file_.get_bool_or("tokenizer.ggml.add_bos_token", false));
    MK_ASSIGN(data_->chat_template, file_.get_string_or("tokenizer.chat_template", ""));
    return Tokenizer(std::move(data_));
  }

 private:
  Result<void> read_kind() {
    MK_ASSIGN(const auto model, file_.get_string("tokenizer.ggml.model"));
    if (model != "gpt2") {
      return fail(ErrorCode::kFailed,
                  "tokenizer: tokenizer.ggml.model is '{}', minke has gpt2 (byte-level BPE)",
                  model);
    }
    MK_ASSIGN(const auto name, file_.get_string("tokenizer.ggml.pre"));
    data_->pretokenizer = find_pretokenizer(name);
    if (data_->pretokenizer != nullptr) return {};
    return fail(ErrorCode::kFailed, "tokenizer: tokenizer.ggml.pre is '{}', minke has {}", name,
                pretokenizer_names());
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
      return std::vector<int32_t>(count, static_cast<int32_t>(TokenType::kNormal));
    }
    MK_ASSIGN(const GgufArray array, file_.get_array(kKey));
    MK_ASSIGN(auto types, array.numbers<int32_t>(kKey));
    if (types.size() == count) return types;
    return fail(ErrorCode::kCorrupt, "tokenizer: {} has {} entries when it should have {}", kKey,
                types.size(), count);
  }

  Result<void> read_tokens() {
    MK_ASSIGN(const GgufArray tokens, get_strings("tokenizer.ggml.tokens"));
    const uint64_t count = tokens.size();
    if (count == 0 || count > kVocabMax || tokens.bytes().size() >= (size_t{1} << 31)) {
      return fail(ErrorCode::kCorrupt, "tokenizer: {} tokens of {} bytes, expected 1 to {}", count,
                  tokens.bytes().size(), kVocabMax);
    }
    MK_ASSIGN(const auto types, read_types(count));
    data_->control.resize(count);
    data_->begins.reserve(count + 1);
    data_->bytes.reserve(tokens.bytes().size() - 8 * count);
    data_->index = StringIndex(count);
    int32_t id = 0;
    for (const std::string_view text : tokens.strings()) {
      add_token(id, text, static_cast<TokenType>(types[static_cast<size_t>(id)]));
      ++id;
    }
    data_->begins.push_back(static_cast<uint32_t>(data_->bytes.size()));
    data_->special = SpecialTokens(std::move(special_));
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      const int32_t symbol = data_->find_by_bytes({&c, 1}).value_or(-1);
      data_->token_of_byte[static_cast<size_t>(byte)] = symbol;
      data_->bpe.set_byte(static_cast<uint8_t>(byte), symbol);
    }
    return {};
  }

  void add_token(int32_t id, std::string_view text, TokenType type) {
    std::string& bytes = data_->bytes;
    std::vector<uint32_t>& begins = data_->begins;
    const auto begin = bytes.size();
    begins.push_back(static_cast<uint32_t>(begin));
    const bool control = type == TokenType::kControl || is_end_name(text);
    const bool steers = control || type == TokenType::kUnknown;
    data_->control[static_cast<size_t>(id)] = control;
    if (steers || type == TokenType::kUserDefined) {
      special_.push_back({std::string(text), id, steers});
    }
    const bool in_alphabet = append_bytes_of_alphabet(bytes, text);
    // The text of special tokens is meant as it stands. Merges may not lead to a control token:
    // text that a user wrote would become one.
    const bool as_it_stands = steers || type == TokenType::kUserDefined || !in_alphabet;
    const bool same = std::string_view(bytes).substr(begin) == text;
    if (as_it_stands && !same) {
      bytes.resize(begin);
      bytes += text;
    }
    if (steers || (as_it_stands && !same)) return;
    data_->index.insert(id, [&](int32_t other) {
      const auto i = static_cast<size_t>(other);
      const size_t end = i + 1 < begins.size() ? begins[i + 1] : bytes.size();
      return std::string_view(bytes).substr(begins[i], end - begins[i]);
    });
  }

  Result<void> read_merges() {
    MK_ASSIGN(const GgufArray merges, get_strings("tokenizer.ggml.merges"));
    data_->bpe.reserve(merges.size());
    std::string both;
    uint64_t rank = 0;
    for (const std::string_view merge : merges.strings()) {
      // From 1: the left part has a character at least, and a space is none of the alphabet.
      const size_t space = merge.find(' ', 1);
      if (space == std::string_view::npos || space + 1 == merge.size()) {
        return fail(ErrorCode::kCorrupt,
                    "tokenizer: merge {} is no pair of texts with a space between", rank);
      }
      ++rank;
      both.clear();
      if (!append_bytes_of_alphabet(both, merge.substr(0, space))) continue;
      const size_t left_bytes = both.size();
      if (!append_bytes_of_alphabet(both, merge.substr(space + 1))) continue;
      const std::string_view text = both;
      data_->bpe.add_merge(symbol_of(text.substr(0, left_bytes)),
                           symbol_of(text.substr(left_bytes)), symbol_of(text));
    }
    return {};
  }

  /// The token of those bytes, or else a symbol of its own: vocabularies that were cut down may
  /// lack a step on the way to a longer token.
  int32_t symbol_of(std::string_view bytes) {
    if (const auto id = data_->find_by_bytes(bytes)) return *id;
    const auto next = data_->vocab_size() + static_cast<int32_t>(steps_.size());
    const auto [at, is_new] = steps_.try_emplace(std::string(bytes), next);
    if (is_new && bytes.size() == 1) data_->bpe.set_byte(static_cast<uint8_t>(bytes[0]), next);
    return at->second;
  }

  Result<std::optional<int32_t>> read_id(std::string_view key) const {
    if (file_.find_value(key) == nullptr) return std::nullopt;
    MK_ASSIGN(const uint64_t id, file_.get_uint(key));
    if (id < static_cast<uint64_t>(data_->vocab_size())) return static_cast<int32_t>(id);
    // Converters write -1 as 4294967295 for "none".
    if (id == std::numeric_limits<uint32_t>::max()) return std::nullopt;
    return fail(ErrorCode::kCorrupt, "tokenizer: {} is {}, but there are {} tokens", key, id,
                data_->vocab_size());
  }

  std::optional<int32_t> find(std::string_view text) const {
    if (const SpecialToken* token = data_->special.find(text)) return token->id;
    return data_->find_by_bytes(text);
  }

  Result<std::optional<int32_t>> read_end_role(const EndRole& role) const {
    MK_ASSIGN(const auto id, read_id(role.key));
    if (id) return id;
    for (const std::string_view name : role.names) {
      if (const auto named = name.empty() ? std::nullopt : find(name)) return named;
    }
    return std::nullopt;
  }

  Result<void> read_roles() {
    MK_ASSIGN(data_->bos, read_id("tokenizer.ggml.bos_token_id"));
    MK_ASSIGN(data_->eos, read_id("tokenizer.ggml.eos_token_id"));
    MK_ASSIGN(data_->eot, read_end_role(kEndOfTurn));
    auto& ends = data_->end_of_generation;
    for (const auto& id : {data_->eos, data_->eot}) {
      if (id) ends.push_back(*id);
    }
    for (const EndRole& role : kOtherEndRoles) {
      MK_ASSIGN(const auto id, read_end_role(role));
      if (id) ends.push_back(*id);
    }
    for (const std::string_view name : kEndNames) {
      if (const auto id = find(name)) ends.push_back(*id);
    }
    remove_false_ends();
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    return {};
  }

  /// Names that end a reply in most models and do not in some, told by their other tokens: <|end|>
  /// parts channels in OpenAI's harmony and Solar, </s> is plain text beside <|tool_response>.
  void remove_false_ends() {
    const auto has = [this](std::string_view name) { return find(name).has_value(); };
    const auto remove = [this](std::string_view name) {
      if (const auto id = find(name)) std::erase(data_->end_of_generation, *id);
    };
    const bool calls = has("<|call|>") || has("<|calls|>");
    if (calls && (has("<|return|>") || has("<|flush|>"))) remove("<|end|>");
    if (has("<|tool_response>")) remove("</s>");
  }

  const GgufFile& file_;
  std::unique_ptr<Tokenizer::Data> data_;
  std::vector<SpecialToken> special_;
  std::unordered_map<std::string, int32_t>
      steps_;  // symbols that are no tokens, from vocab_size on
};

Result<Tokenizer> Tokenizer::from_gguf(const GgufFile& file) {
  return GgufTokenizerLoader(file).load();
}

}  // namespace minke
