#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "minke/engine/saved_steps.h"

namespace minke {

/// Guesses the next tokens of a text from the text itself (prompt lookup decoding; Saxena 2023):
/// what followed the last time that the same three tokens stood. Costs a hash table of the text.
///
/// Whether guessing pays is learned from each text (SavedSteps).
class PromptLookup {
 public:
  /// At most `count` tokens that may follow `tokens`; none when nothing like it came before, or
  /// guesses have not paid. From call to call the text only grows.
  std::vector<int32_t> guess(std::span<const int32_t> tokens, int count);

  /// To be told after each step: how many tokens were guessed in it and how many of them were
  /// right.
  void learn(int num_guessed, int num_right);

 private:
  static constexpr size_t kMatched = 3;

  void index(std::span<const int32_t> tokens);

  std::unordered_map<uint64_t, size_t> after_;  // three tokens -> where the token after them is
  size_t num_indexed_ = 0;                      // tokens that are in after_ as a following one
  SavedSteps saved_{0.5};                       // at first a guess of two
};

}  // namespace minke
