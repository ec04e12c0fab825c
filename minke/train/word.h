#pragma once
#include <string>
#include <string_view>

#include "minke/base/result.h"

namespace minke {

/// A word that a setting may be, and what it stands for.
template <class Kind>
struct Word {
  std::string_view word;
  Kind kind;
};

/// The kind that `word` stands for; kUsage, naming the setting and all its words, for any other.
template <class Kind, size_t kCount>
Result<Kind> find_word(std::string_view setting, std::string_view word,
                       const Word<Kind> (&words)[kCount]) {
  std::string known;
  for (const Word<Kind>& each : words) {
    if (each.word == word) return each.kind;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", each.word);
  }
  return fail(ErrorCode::kUsage, "{} is '{}' when it should be one of {}", setting, word, known);
}

}  // namespace minke
