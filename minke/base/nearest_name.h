#pragma once
#include <span>
#include <string>
#include <string_view>

namespace minke {

/// The name most like `wanted` by edit distance (insertions, deletions, replacements and swaps of
/// neighbours), or an empty string when none is near: more than a third of its letters differ.
std::string nearest_name(std::string_view wanted, std::span<const std::string> names);

/// ", did you mean X?" for an error message, or an empty string.
std::string did_you_mean(std::string_view wanted, std::span<const std::string> names);

}  // namespace minke
