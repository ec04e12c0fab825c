#include "minke/text/special_tokens.h"

#include <algorithm>
#include <utility>

namespace minke {

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

const SpecialToken* SpecialTokens::longest_match(std::string_view text,
                                                 size_t trusted_bytes) const {
  const SpecialToken* best = nullptr;
  auto begin = tokens_.begin();
  auto end = tokens_.end();
  for (size_t depth = 0; begin != end; ++depth) {
    // All of [begin, end) start with text[0, depth); a token of just these bytes comes first.
    if (begin->text.size() == depth) {
      if (!begin->control || depth <= trusted_bytes) best = &*begin;
      ++begin;
    }
    if (depth == text.size()) break;
    const auto wanted = static_cast<uint8_t>(text[depth]);
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
