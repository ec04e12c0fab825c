#pragma once
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "minke/base/thread_pool.h"

namespace minke {

/// One splitting step. Gives the end of the piece that begins at `begin` < text.size(), which is
/// > begin; the pieces of one step cover the text without gaps. The text's end is an end for the
/// step's look-ahead too.
using SplitStep = size_t (*)(std::string_view text, size_t begin);

/// How a model's tokenizer cuts text into pieces that BPE never merges across: steps that run one
/// inside the pieces of the one before, as tokenizer.json's sequences of splits do.
struct Pretokenizer {
  std::string_view name;           ///< as in tokenizer.ggml.pre
  std::array<SplitStep, 4> steps;  ///< up to the first nullptr
  /// A piece that is a token is taken as that token, whether or not merges lead there (Llama 3).
  bool ignore_merges = false;
};

/// The row of that name, or nullptr.
const Pretokenizer* find_pretokenizer(std::string_view name);

/// The names of all rows, separated by ", ", for error messages.
std::string pretokenizer_names();

/// Calls `piece` with each piece of the text, in order; together they are the text. Bytes that are
/// not UTF-8 count as characters that are neither letter, number nor white space. Time is linear.
void pretokenize(const Pretokenizer& pretokenizer, std::string_view text,
                 FunctionRef<void(std::string_view)> piece);

}  // namespace minke
