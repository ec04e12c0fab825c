#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace minke {

/// A token that is found in text before pre-tokenization.
struct SpecialToken {
  std::string text;
  int32_t id = -1;
  bool control = false;      ///< recognised in trusted text only; user-defined ones everywhere
  bool lstrip = false;       ///< takes the white space before it away
  bool rstrip = false;       ///< and that behind it
  bool single_word = false;  ///< not where a letter, digit or underscore stands beside it
};

/// The special tokens of a vocabulary, sorted by text, so that the longest one that begins at a
/// place is found by narrowing a range byte by byte.
class SpecialTokens {
 public:
  SpecialTokens() = default;
  /// Empty texts are left out; of equal texts the highest id stays.
  explicit SpecialTokens(std::vector<SpecialToken> tokens);

  /// The longest token that begins at `at`, or nullptr; a control token counts only when it lies
  /// within the first `trusted_bytes` from there.
  const SpecialToken* longest_match(std::string_view text, size_t at, size_t trusted_bytes) const;
  /// Whether a token starts with this byte: a quick look before longest_match().
  bool may_start_with(char c) const { return may_start_[static_cast<uint8_t>(c)]; }
  /// The token of exactly this text, or nullptr.
  const SpecialToken* find(std::string_view text) const;

 private:
  std::vector<SpecialToken> tokens_;
  std::vector<bool> may_start_ = std::vector<bool>(256, false);
};

}  // namespace minke
