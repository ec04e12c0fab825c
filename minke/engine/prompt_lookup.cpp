#include "minke/engine/prompt_lookup.h"

#include <algorithm>

namespace minke {
namespace {

// The three tokens before `at`; exact for vocabularies of up to 2^21.
uint64_t key_before(std::span<const int32_t> tokens, size_t at) {
  const auto token = [&](size_t i) { return static_cast<uint64_t>(tokens[i]); };
  return token(at - 3) << 42 ^ token(at - 2) << 21 ^ token(at - 1);
}

}  // namespace

void PromptLookup::index(std::span<const int32_t> tokens) {
  for (size_t at = std::max(num_indexed_, kMatched); at < tokens.size(); ++at) {
    after_[key_before(tokens, at)] = at;
  }
  num_indexed_ = tokens.size();
}

std::vector<int32_t> PromptLookup::guess(std::span<const int32_t> tokens, int count) {
  count = std::min(count, static_cast<int>(saved_.count() / SavedSteps::kRowCost));
  if (count <= 0 || tokens.size() < kMatched) return {};
  index(tokens);
  const auto found = after_.find(key_before(tokens, tokens.size()));
  if (found == after_.end()) return {};
  std::vector<int32_t> guessed;
  for (size_t at = found->second; static_cast<int>(guessed.size()) < count; ++at) {
    // Past its end a text that repeats itself goes on with the guess.
    guessed.push_back(at < tokens.size() ? tokens[at] : guessed[at - tokens.size()]);
  }
  return guessed;
}

void PromptLookup::learn(int num_guessed, int num_right) {
  saved_.earn();
  saved_.add(num_right - num_guessed * SavedSteps::kRowCost);
}

}  // namespace minke
