#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace minke {

/// One splitting step. Gives the end of the piece that begins at `begin` < text.size(), which is
/// > begin; the pieces of one step cover the text without gaps. The text's end is an end for the
/// step's look-ahead too. Time is linear over all pieces of a text.
using SplitStep = size_t (*)(std::string_view text, size_t begin);

/// The step that cuts as this regular expression does when its matches are isolated (what matches
/// is a piece, what lies between two matches is one), or nullptr when it is none that minke has.
/// The spelling must be one of those that published tokenizer.json files use.
SplitStep find_split_step(std::string_view regex);

/// An expression that find_split_step() takes for the step, in the spelling of Rust's tokenizers.
std::string split_regex(SplitStep step);

/// Whether the matches of that expression cover every text, so that removing the rest removes
/// nothing.
bool matches_everything(SplitStep step);

// The steps by the expression that each stands for. Contractions, (?i:'s|'t|'re|'ve|'m|'ll|'d), are
// written C.

/// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
size_t split_gpt2(std::string_view text, size_t begin);
/// C|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
size_t split_llama3(std::string_view text, size_t begin);
/// The same with \p{N} for \p{N}{1,3}.
size_t split_qwen2(std::string_view text, size_t begin);
/// C|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
size_t split_qwen35(std::string_view text, size_t begin);
/// [!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
/// | ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
size_t split_deepseek_v3(std::string_view text, size_t begin);
/// [一-龥぀-ゟ゠-ヿ]+
size_t split_deepseek_v3_cjk(std::string_view text, size_t begin);
/// \s?[A-Za-zµÀ-ÖØ-ö...]+: DeepSeek-LLM's own list of letters with two cases
size_t split_cased_letters(std::string_view text, size_t begin);
/// \s?[!-/:-~！-／：-～‘-‟　-。]+
size_t split_deepseek_punctuation(std::string_view text, size_t begin);
/// [一-龥ࠀ-一가-퟿]+
size_t split_deepseek_cjk(std::string_view text, size_t begin);
/// \s+$
size_t split_trailing_space(std::string_view text, size_t begin);
/// \s?\p{L}+
size_t split_spaced_letters(std::string_view text, size_t begin);
/// \s?\p{P}+
size_t split_spaced_punctuation(std::string_view text, size_t begin);
/// [\p{P}\$\+<=>\^~\|`]+
size_t split_punctuation(std::string_view text, size_t begin);
/// [\p{P}\$\+<=>\^~\|]+
size_t split_punctuation_but_backtick(std::string_view text, size_t begin);
/// [\r\n]
size_t split_each_newline(std::string_view text, size_t begin);
/// \p{N}
size_t split_each_number(std::string_view text, size_t begin);
/// \p{N}{1,3}
size_t split_numbers_by_three(std::string_view text, size_t begin);
/// \p{N}+
size_t split_numbers(std::string_view text, size_t begin);
/// [0-9][0-9][0-9]
size_t split_three_digits(std::string_view text, size_t begin);
/// [^\n]+|[\n]+
size_t split_lines(std::string_view text, size_t begin);
/// [^\n]|\n
size_t split_each_character(std::string_view text, size_t begin);
/// Before each space: Metaspace with "split".
size_t split_before_space(std::string_view text, size_t begin);

}  // namespace minke
