#include <string>
#include <utility>

#include "minke/base/check.h"
#include "minke/base/utf8.h"
#include "minke/text/split_ranges.h"
#include "minke/text/split_steps.h"

namespace minke {
namespace {

struct Pattern {
  std::string_view regex;  // as canonical() gives it
  SplitStep step;
  bool covers = false;  // see matches_everything
};

constexpr Pattern kPatterns[] = {
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)", split_gpt2,
     true},
    {R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))", split_gpt2},
    {R"(C|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     split_llama3, true},
    {R"(C|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     split_qwen2, true},
    {R"(C|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+)"
     R"(|\s+(?!\S)|\s+)",
     split_qwen35, true},
    {R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
     R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
     split_deepseek_v3},
    {"[一-龥぀-ゟ゠-ヿ]+", split_deepseek_v3_cjk},
    {R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)", split_deepseek_punctuation},
    {"[一-龥ࠀ-一가-\uD7FF]+", split_deepseek_cjk},
    {R"(\s+$)", split_trailing_space},
    {R"(\s?\p{L}+)", split_spaced_letters},
    {R"(\s?\p{P}+)", split_spaced_punctuation},
    {R"([\p{P}\$\+<=>\^~\|`]+)", split_punctuation},
    {R"([\p{P}\$\+<=>\^~\|]+)", split_punctuation_but_backtick},
    {R"([\r\n])", split_each_newline},
    {R"(\p{N})", split_each_number},
    {R"(\p{N}{1,3})", split_numbers_by_three},
    {R"(\p{N}+)", split_numbers},
    {R"([0-9][0-9][0-9])", split_three_digits},
    {R"([^\n]+|[\n]+)", split_lines, true},
    {R"([^\n]|\n)", split_each_character, true},
};

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

/// One spelling of what is published in several that match the same text: possessive quantifiers
/// where nothing could be given back, `\s*[\r\n]` for `\s*[\r\n]+`, contractions.
std::string canonical(std::string_view regex) {
  constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {"\r", R"(\r)"},
      {"\n", R"(\n)"},
      {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|", "C|"},
      {"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|", "C|"},
      {"'(?i:[sdmt]|ll|ve|re)|", "C|"},
      {"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|", "C|"},
      {R"([^\r\n\p{L}\p{N}]?+)", R"([^\r\n\p{L}\p{N}]?)"},
      {R"([^\s\p{L}\p{N}]++)", R"([^\s\p{L}\p{N}]+)"},
      {R"(|\s*[\r\n]|)", R"(|\s*[\r\n]+|)"},
      {R"(\p{N}{1}|)", R"(\p{N}|)"},
  };
  std::string text(regex);
  for (const auto& [from, to] : kReplacements) replace_all(text, from, to);
  return text;
}

std::string cased_letters_regex() {
  std::string regex = R"(\s?[)";
  for (const CodePointRange& range : cased_letters()) {
    utf8_append(regex, range.first);
    if (range.first == range.last) continue;
    regex += '-';
    utf8_append(regex, range.last);
  }
  return regex + "]+";
}

}  // namespace

SplitStep find_split_step(std::string_view regex) {
  constexpr size_t kRegexBytesMax = 2000;  // The longest one has 400.
  if (regex.size() > kRegexBytesMax) return nullptr;
  const std::string wanted = canonical(regex);
  for (const Pattern& row : kPatterns) {
    if (row.regex == wanted) return row.step;
  }
  return wanted == cased_letters_regex() ? split_cased_letters : nullptr;
}

std::string split_regex(SplitStep step) {
  for (const Pattern& row : kPatterns) {
    if (row.step != step) continue;
    constexpr std::string_view kContractions = "C|";
    if (!row.regex.starts_with(kContractions)) return std::string(row.regex);
    return "(?i:'s|'t|'re|'ve|'m|'ll|'d)|" + std::string(row.regex.substr(kContractions.size()));
  }
  MK_CHECK(step == split_cased_letters, "split_regex: a step without an expression");
  return cased_letters_regex();
}

bool matches_everything(SplitStep step) {
  for (const Pattern& row : kPatterns) {
    if (row.step == step && row.covers) return true;
  }
  return false;
}

}  // namespace minke
