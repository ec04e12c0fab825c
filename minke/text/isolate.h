#pragma once
#include <cstddef>
#include <string_view>

#include "minke/text/char_class.h"

namespace minke {

/// The end of the piece that begins at `begin` when the matches of an expression are isolated:
/// that of the match there, or else of the text up to the next match. `match(at)` gives the end of
/// the match that begins at `at`, or `at` when there is none; it should not look far for that.
template <class Match>
size_t isolate(std::string_view text, size_t begin, const Match& match) {
  size_t at = match(begin);
  if (at > begin) return at;
  do {
    at += char_at(text, at).bytes;
  } while (at < text.size() && match(at) == at);
  return at;
}

}  // namespace minke
