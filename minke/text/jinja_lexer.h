#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"

namespace minke::jinja {

/// The kinds of token.
enum class TokenType : uint8_t {
  kText,        ///< template text, whitespace control already applied
  kPrintBegin,  ///< {{
  kPrintEnd,    ///< }}
  kBlockBegin,  ///< {%
  kBlockEnd,    ///< %}
  kName,
  kString,  ///< value: escapes resolved
  kInteger,
  kFloat,
  kOperator,  ///< value: the operator's characters
  kEnd,
};

/// A token with its place in the source.
struct Token {
  TokenType type = TokenType::kEnd;
  int line = 1;
  std::string value{};
  int64_t integer = 0;
  double real = 0;
};

/// Splits a template into tokens, with jinja2's trim_blocks and lstrip_blocks on, newlines
/// normalised to \n and one newline at the very end dropped. The error is kCorrupt with the line.
Result<std::vector<Token>> tokenize(std::string_view source);

/// Whether Python's str.isspace (and so strip, split and \s) counts this character.
bool is_python_space(uint32_t code_point);

/// `text` without the Unicode white space at its end or start.
std::string_view strip_space_right(std::string_view text);
std::string_view strip_space_left(std::string_view text);

}  // namespace minke::jinja
