#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "minke/base/result.h"

namespace minke {

/// A piece of the pre-tokenizer and how often a text has it.
struct CountedWord {
  std::string_view bytes;
  uint64_t count = 0;
};

/// What a byte-level BPE is to be.
struct BpeTrainerConfig {
  int64_t vocab_size = 0;  ///< special tokens and alphabet included
  /// A pair that occurs less often is not merged.
  int64_t min_frequency = 1;
  /// 0: all 256 bytes are tokens, so that any text can be encoded. Else only bytes of the words,
  /// and of these at most so many, the most frequent; the others are left out of words.
  int64_t limit_alphabet = 0;
  std::vector<std::string> special_tokens{};  ///< ids from 0 on; no pair becomes one of them
};

/// A vocabulary and its merges, in GPT-2's alphabet (byte_alphabet.h).
struct BpeVocabulary {
  std::vector<std::string> tokens;                  ///< by id; special tokens as their text
  std::vector<std::pair<int32_t, int32_t>> merges;  ///< ids of both parts, first merge first
  int64_t num_special = 0;
  int64_t num_letters = 0;  ///< of the alphabet; their ids follow the special tokens
  int64_t num_tokens = 0;   ///< that the words become, each as often as it is counted
};

/// Learns byte-level BPE (Sennrich et al. 2016): of all adjacent pairs the most frequent becomes a
/// token, until the vocabulary has its size. Of equally frequent pairs the one with the lower ids
/// comes first, as in Hugging Face's BpeTrainer, whose tokens and merges these are on the same
/// words, in whatever order they are given.
///
/// Counts are kept up to date word by word, so that a merge costs what it changes, and the next
/// pair comes from a heap. `progress` (tokens so far) is called now and then; false from it ends
/// with kInterrupted. kUsage: no words, a vocabulary smaller than the alphabet, fewer frequent
/// pairs than it needs, a special token that is empty or a letter; kWillNotFit: too many words,
/// 2^32 bytes of them.
Result<BpeVocabulary> train_bpe(std::span<const CountedWord> words, const BpeTrainerConfig& config,
                                const std::function<bool(int64_t)>& progress = {});

}  // namespace minke
