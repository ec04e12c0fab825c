#pragma once
#include <cstdint>
#include <span>

namespace minke {

/// Code points `first` to `last`, both included.
struct CodePointRange {
  uint32_t first = 0;
  uint32_t last = 0;
};

/// DeepSeek-LLM's letters that have two cases, ascending; as its expression spells them, so that a
/// range of one is a single character there.
std::span<const CodePointRange> cased_letters();

}  // namespace minke
