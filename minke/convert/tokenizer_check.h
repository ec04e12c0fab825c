#pragma once
#include <string>
#include <string_view>

#include "minke/base/result.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// Whether two tokenizers of one vocabulary cut a text of many kinds alike: words, numbers, several
/// scripts, white space, code. kUsage, with the first piece that they do not, when they differ.
Result<void> check_same_tokenizer(const Tokenizer& before, const Tokenizer& after);

/// Marks of roles and turns, "<|...|>", "<｜...｜>" and <pad>: llama.cpp's converter makes them
/// control tokens even where a tokenizer.json calls them ordinary added ones.
bool is_control_text(std::string_view text);

}  // namespace minke
