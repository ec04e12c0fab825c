#pragma once
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "minke/base/thread_pool.h"
#include "minke/text/split_steps.h"

namespace minke {

/// How a model's tokenizer cuts text into pieces that BPE never merges across: steps that run one
/// inside the pieces of the one before, as tokenizer.json's sequences of splits do.
struct Pretokenizer {
  static constexpr size_t kStepsMax = 8;

  std::string_view name;                        ///< as in tokenizer.ggml.pre
  std::array<SplitStep, kStepsMax> steps = {};  ///< up to the first nullptr
  /// A piece that is a token is taken as that token, whether or not merges lead there (Llama 3).
  bool ignore_merges = false;
  /// What tokenizer.ggml.add_bos_token is where a file does not say.
  bool add_bos = false;
};

/// The row of that name, or nullptr.
const Pretokenizer* find_pretokenizer(std::string_view name);

/// The first row that has those steps, or nullptr.
const Pretokenizer* find_pretokenizer(const std::array<SplitStep, Pretokenizer::kStepsMax>& steps);

/// The names of all rows, separated by ", ", for error messages and tests.
std::string pretokenizer_names();

/// Calls `piece` with each piece of the text, in order; together they are the text. Bytes that are
/// not UTF-8 count as characters that are neither letter, number nor white space. Time is linear.
///
/// Classes of characters are those of Unicode 15 (utf8proc 2.8). Other programs know other
/// versions, so that texts with code points that one of them does not know may fall into other
/// pieces there.
void pretokenize(const Pretokenizer& pretokenizer, std::string_view text,
                 FunctionRef<void(std::string_view)> piece);

}  // namespace minke
