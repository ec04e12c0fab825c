#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// Whether two tokenizers of one vocabulary cut a text of many kinds alike: words, numbers, several
/// scripts, white space, code. kUsage, with the first piece that they do not, when they differ.
Result<void> check_same_tokenizer(const Tokenizer& before, const Tokenizer& after);

/// What two tokenizers do differently, a sentence each: one is missing, tokens of the same id, ids
/// with a meaning, a text of many kinds that they cut differently, or the chat templates. Unused
/// tokens that fill a vocabulary up ("[PAD7]") do not count.
std::vector<std::string> tokenizer_differences(const std::optional<Tokenizer>& a,
                                               const std::optional<Tokenizer>& b);

/// Marks of roles and turns, "<|...|>", "<｜...｜>" and <pad>: llama.cpp's converter makes them
/// control tokens even where a tokenizer.json calls them ordinary added ones.
bool is_control_text(std::string_view text);

}  // namespace minke
