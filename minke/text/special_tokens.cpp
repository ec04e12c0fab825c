#include "minke/text/special_tokens.h"

#include <algorithm>
#include <utility>

#include "minke/text/char_class.h"

namespace minke {
namespace {

/// Whether a word's character stands on either side of text[begin, end).
bool touches_word(std::string_view text, size_t begin, size_t end) {
  constexpr uint8_t kWord = char_class::kLetter | char_class::kMark | char_class::kNumber;
  const auto is_word = [&](size_t at) {
    return text[at] == '_' || (char_at(text, at).kind & kWord) != 0;
  };
  if (end < text.size() && is_word(end)) return true;
  if (begin == 0) return false;
  size_t before = begin - 1;
  while (before > 0 && begin - before < 4 && (text[before] & 0xC0) == 0x80) --before;
  return is_word(before);
}

}  // namespace

SpecialTokens::SpecialTokens(std::vector<SpecialToken> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const SpecialToken& token) { return token.text.empty(); });
  std::sort(tokens_.begin(), tokens_.end(), [](const SpecialToken& a, const SpecialToken& b) {
    return a.text != b.text ? a.text < b.text : a.id > b.id;
  });
  const auto same_text = [](const SpecialToken& a, const SpecialToken& b) {
    return a.text == b.text;
  };
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), same_text), tokens_.end());
  for (const SpecialToken& token : tokens_) may_start_[static_cast<uint8_t>(token.text[0])] = true;
}

const SpecialToken* SpecialTokens::longest_match(std::string_view text, size_t at,
                                                 size_t trusted_bytes) const {
  const SpecialToken* best = nullptr;
  auto begin = tokens_.begin();
  auto end = tokens_.end();
  for (size_t depth = 0; begin != end; ++depth) {
    // All of [begin, end) start with text[at, at + depth); a token of just these bytes comes first.
    if (begin->text.size() == depth) {
      const bool may_be = !begin->single_word || !touches_word(text, at, at + depth);
      if (may_be && (!begin->control || depth <= trusted_bytes)) best = &*begin;
      ++begin;
    }
    if (at + depth == text.size()) break;
    const auto wanted = static_cast<uint8_t>(text[at + depth]);
    const auto byte_at = [depth](const SpecialToken& token) {
      return static_cast<uint8_t>(token.text[depth]);
    };
    begin = std::partition_point(
        begin, end, [&](const SpecialToken& token) { return byte_at(token) < wanted; });
    end = std::partition_point(begin, end,
                               [&](const SpecialToken& token) { return byte_at(token) <= wanted; });
  }
  return best;
}

const SpecialToken* SpecialTokens::find(std::string_view text) const {
  const auto at = std::lower_bound(
      tokens_.begin(), tokens_.end(), text,
      [](const SpecialToken& token, std::string_view wanted) { return token.text < wanted; });
  return at != tokens_.end() && at->text == text ? &*at : nullptr;
}

}  // namespace minke
