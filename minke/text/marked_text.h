#pragma once
#include <cstddef>
#include <string>
#include <vector>

namespace minke {

/// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

/// Text of which some bytes came from outside (a user's message, a tool's result) and the rest from
/// a chat template. Control tokens are recognised only in the template's part, so that a user who
/// types "<|im_end|>" sends eleven characters and not the end of their turn.
struct MarkedText {
  std::string text;
  std::vector<TextRange> untrusted;  ///< sorted by begin, not overlapping, within the text
};

}  // namespace minke
