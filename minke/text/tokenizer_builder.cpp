#include "minke/text/tokenizer_builder.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "minke/base/check.h"
#include "minke/base/utf8.h"
#include "minke/text/byte_alphabet.h"
#include "minke/text/tokenizer_ends.h"

namespace minke {
namespace {

constexpr std::string_view kEscapedSpace = "\u2581";

/// "<|...|>" and DeepSeek's "<｜...｜>": marks of roles and turns, which text from outside must not
/// write even where a file calls them user-defined.
bool looks_like_control(std::string_view text) {
  return (text.size() > 4 && text.starts_with("<|") && text.ends_with("|>")) ||
         (text.size() > 8 && text.starts_with("<｜") && text.ends_with("｜>"));
}

/// The byte that "<0x0A>" stands for.
std::optional<uint8_t> parse_byte_token(std::string_view text) {
  uint8_t byte = 0;
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, byte, 16);
  if (error != std::errc() || end != text.data() + 5) return std::nullopt;
  return byte;
}

/// The code point of a text of one character, or Joints::kNone.
uint32_t only_char(std::string_view text) {
  if (text.empty()) return Joints::kNone;
  const Utf8Char c = utf8_next(text);
  const bool only = c.valid && static_cast<size_t>(c.bytes) == text.size();
  return only ? c.code_point : Joints::kNone;
}

}  // namespace

TokenizerBuilder::TokenizerBuilder(bool of_characters) : data_(std::make_unique<TokenizerData>()) {
  data_->of_characters = of_characters;
  data_->token_of_byte.fill(-1);
}

Result<void> TokenizerBuilder::add_tokens(std::span<const TokenEntry> entries) {
  size_t bytes = 0;
  for (const TokenEntry& entry : entries) bytes += entry.text.size();
  if (entries.empty() || entries.size() > kVocabMax || bytes >= (size_t{1} << 31)) {
    return fail(ErrorCode::kCorrupt, "tokenizer: {} tokens of {} bytes, expected 1 to {}",
                entries.size(), bytes, kVocabMax);
  }
  data_->control.resize(entries.size());
  data_->special_id.resize(entries.size());
  data_->begins.reserve(entries.size() + 1);
  data_->bytes.reserve(bytes);
  data_->index = StringIndex(entries.size());
  for (size_t id = 0; id < entries.size(); ++id) add_token(static_cast<int32_t>(id), entries[id]);
  data_->begins.push_back(static_cast<uint32_t>(data_->bytes.size()));
  data_->special = SpecialTokens(std::move(special_));
  for (int byte = 0; byte < (data_->of_characters ? 128 : 256); ++byte) {
    const char c = static_cast<char>(byte);
    const int32_t symbol = data_->find_by_bytes({&c, 1}).value_or(-1);
    data_->bpe.set_byte(static_cast<uint8_t>(byte), symbol);
    if (!data_->of_characters) data_->token_of_byte[static_cast<size_t>(byte)] = symbol;
  }
  return {};
}

void TokenizerBuilder::add_token(int32_t id, const TokenEntry& entry) {
  std::string& bytes = data_->bytes;
  std::vector<uint32_t>& begins = data_->begins;
  const auto begin = bytes.size();
  begins.push_back(static_cast<uint32_t>(begin));
  if (entry.text.empty()) return;
  if (data_->of_characters && entry.kind == TokenKind::kByte) {
    if (const auto byte = parse_byte_token(entry.text)) {
      bytes += static_cast<char>(*byte);
      data_->token_of_byte[*byte] = id;
      return;  // Not in the index: "<0x0A>" in text is six characters.
    }
  }
  const bool user_defined = entry.kind == TokenKind::kUserDefined;
  const bool control = entry.kind == TokenKind::kControl || is_end_name(entry.text) ||
                       (user_defined && looks_like_control(entry.text));
  const bool steers = control || entry.kind == TokenKind::kUnknown;
  data_->control[static_cast<size_t>(id)] = control;
  if (steers || user_defined) {
    data_->special_id[static_cast<size_t>(id)] = true;
    special_.push_back(
        {std::string(entry.text), id, steers, entry.lstrip, entry.rstrip, entry.single_word});
  }
  const bool spelled = append_spelled(bytes, entry.text);
  // The text of special tokens is meant as it stands. Merges may not lead to a control token: text
  // that a user wrote would become one.
  const bool as_it_stands = steers || user_defined || !spelled;
  const bool same = std::string_view(bytes).substr(begin) == entry.text;
  if (as_it_stands && !same) {
    bytes.resize(begin);
    bytes += entry.text;
  }
  if (steers || (as_it_stands && !same)) return;
  data_->index.insert(id, [&](int32_t other) {
    const auto i = static_cast<size_t>(other);
    const size_t end = i + 1 < begins.size() ? begins[i + 1] : bytes.size();
    return std::string_view(bytes).substr(begins[i], end - begins[i]);
  });
}

/// Appends the bytes that a text in the vocabulary's spelling stands for. False, with `out` as it
/// was, when it is not written so: a literal space can never come from text.
bool TokenizerBuilder::append_spelled(std::string& out, std::string_view text) const {
  if (!data_->of_characters) return append_bytes_of_alphabet(out, text);
  if (text.find(' ') != std::string_view::npos) return false;
  while (true) {
    const size_t at = text.find(kEscapedSpace);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return true;
    out += ' ';
    text.remove_prefix(at + kEscapedSpace.size());
  }
}

/// The token of those bytes, or else a symbol of its own: vocabularies that were cut down may lack
/// a step on the way to a longer token.
int32_t TokenizerBuilder::symbol_of(std::string_view bytes) {
  if (const auto id = data_->find_by_bytes(bytes)) return *id;
  const auto next = data_->vocab_size() + static_cast<int32_t>(steps_.size());
  const auto [at, is_new] = steps_.try_emplace(std::string(bytes), next);
  if (!is_new) return at->second;
  const auto first = static_cast<uint8_t>(bytes[0]);
  if (bytes.size() == 1 && (!data_->of_characters || first < 0x80)) {
    data_->bpe.set_byte(first, next);
  } else if (data_->of_characters) {
    if (const uint32_t c = only_char(bytes); c != Joints::kNone) data_->symbol_of_char[c] = next;
  }
  return next;
}

bool TokenizerBuilder::add_merge(std::string_view left, std::string_view right) {
  merge_text_.clear();
  if (left.empty() || right.empty() || !append_spelled(merge_text_, left)) return false;
  const size_t left_bytes = merge_text_.size();
  if (!append_spelled(merge_text_, right)) return false;
  const std::string_view both = merge_text_;
  const int32_t left_symbol = symbol_of(both.substr(0, left_bytes));
  const int32_t right_symbol = symbol_of(both.substr(left_bytes));
  data_->bpe.add_merge(left_symbol, right_symbol, symbol_of(both));
  if (data_->of_characters) add_joint(both.substr(0, left_bytes), both.substr(left_bytes));
  return true;
}

void TokenizerBuilder::add_joint(std::string_view left, std::string_view right) {
  size_t last = left.size() - 1;
  while (last > 0 && left.size() - last < 4 && (left[last] & 0xC0) == 0x80) --last;
  const Utf8Char before = utf8_next(left.substr(last));
  const Utf8Char behind = utf8_next(right);
  if (before.valid && behind.valid) data_->joints.add(before.code_point, behind.code_point);
}

/// Calls visit(left, right) for each way to put the token together from two texts that are tokens
/// or single characters.
template <class Visit>
void TokenizerBuilder::for_each_split(int32_t id, const Visit& visit) {
  const std::string_view text = data_->bytes_of(id);
  const auto is_symbol = [this](std::string_view part) {
    return only_char(part) != Joints::kNone || data_->find_by_bytes(part).has_value();
  };
  for (size_t at = 0; at < text.size();) {
    at += static_cast<size_t>(utf8_next(text.substr(at)).bytes);
    if (at == text.size()) return;
    if (is_symbol(text.substr(0, at)) && is_symbol(text.substr(at))) {
      visit(text.substr(0, at), text.substr(at));
    }
  }
}

Result<void> TokenizerBuilder::add_scores(std::span<const float> scores) {
  // Each token of n bytes is looked at in up to n ways of n bytes; 32,000 of Llama 2 make 4
  // million.
  constexpr uint64_t kWorkMax = uint64_t{1} << 28;
  MK_CHECK(scores.size() == data_->control.size(), "tokenizer: {} scores for {} tokens",
           scores.size(), data_->control.size());
  uint64_t work = 0;
  std::vector<int32_t> order;  // tokens that a merge can make, best first
  for (int32_t id = 0; id < data_->vocab_size(); ++id) {
    if (std::isnan(scores[static_cast<size_t>(id)])) {
      return fail(ErrorCode::kCorrupt, "tokenizer: the score of token {} is not a number", id);
    }
    const std::string_view text = data_->bytes_of(id);
    work += uint64_t{text.size()} * text.size();
    if (text.size() > 1 && data_->find_by_bytes(text) == id) order.push_back(id);
  }
  if (work > kWorkMax) {
    return fail(
        ErrorCode::kCorrupt,
        "tokenizer: the squares of the tokens' lengths sum to {} bytes, expected at most {}", work,
        kWorkMax);
  }
  const auto score = [&](int32_t id) { return scores[static_cast<size_t>(id)]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return score(a) > score(b); });
  size_t num_merges = 0;
  for (const int32_t id : order) {
    for_each_split(id, [&](std::string_view, std::string_view) { ++num_merges; });
  }
  data_->bpe.reserve(num_merges);
  uint32_t rank = 0;  // shared by equal scores, of which the leftmost pair is joined first
  for (size_t i = 0; i < order.size(); ++i) {
    if (i > 0 && score(order[i]) != score(order[i - 1])) ++rank;
    for_each_split(order[i], [&](std::string_view left, std::string_view right) {
      data_->bpe.add_merge(symbol_of(left), symbol_of(right), order[i], rank);
      add_joint(left, right);
    });
  }
  return {};
}

std::unique_ptr<TokenizerData> TokenizerBuilder::finish() {
  // Text may not lead to a control token, also where a file says that it is the unknown one.
  const auto unknown = static_cast<size_t>(data_->unknown.value_or(0));
  if (data_->unknown && data_->control[unknown]) data_->unknown.reset();
  if (data_->of_characters) {
    for (int32_t id = 0; id < data_->vocab_size(); ++id) {
      const std::string_view text = data_->bytes_of(id);
      const uint32_t c = only_char(text);
      if (c >= 0x80 && c != Joints::kNone && data_->find_by_bytes(text) == id) {
        data_->symbol_of_char[c] = id;
      }
    }
    data_->joints.finish();
  }
  return std::move(data_);
}

}  // namespace minke
