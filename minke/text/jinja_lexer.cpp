#include "minke/text/jinja_lexer.h"

#include <charconv>
#include <cstdlib>

#include "minke/base/utf8.h"

namespace minke::jinja {
namespace {

constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                           "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                           ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};

bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

/// Newlines become \n, and one at the very end goes, as jinja2 does before lexing.
std::string normalise_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
      continue;
    }
    out += '\n';
    if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

int digit_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 99;
}

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) MK_TRY(text_and_tag());
    push(TokenType::kEnd);
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return std::string_view(source_).substr(at_); }

  template <class... Args>
  tl::unexpected<Error> error(fmt::format_string<Args...> format, Args&&... args) {
    return fail(ErrorCode::kCorrupt, "chat template line {}: {}", line_,
                fmt::format(format, std::forward<Args>(args)...));
  }

  void advance(size_t bytes) {
    for (size_t i = at_; i < at_ + bytes; ++i) line_ += source_[i] == '\n' ? 1 : 0;
    at_ += bytes;
  }

  void push(TokenType type, std::string value = {}) {
    tokens_.push_back({.type = type, .line = line_, .value = std::move(value)});
  }

  /// Skips what follows a tag's end: all white space after `-`, one newline after a block.
  void after_tag(char sign, bool trim_newline) {
    const size_t start = at_;
    if (sign == '-') {
      advance(rest().size() - strip_space_left(rest()).size());
    } else if (trim_newline && sign != '+' && rest().starts_with('\n')) {
      advance(1);
    }
    // A tag that ends a line lets lstrip_blocks see the next tag as the first of its line.
    line_starting_ = at_ > start && source_[at_ - 1] == '\n';
  }

  /// The text before a tag, with what the tag's sign or lstrip_blocks takes off its end.
  std::string_view before_tag(std::string_view text, char sign, bool is_print) const {
    if (sign == '-') return strip_space_right(text);
    if (sign == '+' || is_print) return text;
    const size_t newline = text.rfind('\n');
    const size_t line_start = newline == std::string_view::npos ? 0 : newline + 1;
    if (line_start == 0 && !line_starting_) return text;
    if (line_start == text.size()) return text;
    if (!strip_space_left(text.substr(line_start)).empty()) return text;
    return text.substr(0, line_start);
  }

  static char sign_at(std::string_view text, size_t index) {
    if (index >= text.size()) return 0;
    return text[index] == '-' || text[index] == '+' ? text[index] : 0;
  }

  /// Length of `raw` or `endraw` block tag at the start of `text` ("{%- raw -%}"), 0 if none.
  struct RawTag {
    size_t length = 0;
    char sign_begin = 0;
    char sign_end = 0;
  };
  static RawTag raw_tag(std::string_view text, std::string_view word) {
    RawTag tag;
    if (!text.starts_with("{%")) return tag;
    tag.sign_begin = sign_at(text, 2);
    std::string_view left = text.substr(tag.sign_begin ? 3 : 2);
    left = strip_space_left(left);
    if (!left.starts_with(word)) return tag;
    left = strip_space_left(left.substr(word.size()));
    tag.sign_end = sign_at(left, 0);
    if (tag.sign_end == '+' && word == "raw") return tag;
    if (tag.sign_end) left.remove_prefix(1);
    if (left.starts_with("%}")) tag.length = text.size() - left.size() + 2;
    return tag;
  }

  Result<void> text_and_tag() {
    const std::string_view text = rest();
    size_t tag = 0;
    for (;; ++tag) {
      tag = text.find('{', tag);
      if (tag == std::string_view::npos || tag + 1 >= text.size()) {
        push(TokenType::kText, std::string(text));
        advance(text.size());
        return {};
      }
      const char kind = text[tag + 1];
      if (kind == '{' || kind == '%' || kind == '#') break;
    }
    const char kind = text[tag + 1];
    const char sign = sign_at(text, tag + 2);
    const std::string_view kept = before_tag(text.substr(0, tag), sign, kind == '{');
    if (!kept.empty()) push(TokenType::kText, std::string(kept));
    advance(tag);
    if (kind == '#') return comment(sign);
    if (kind == '%') {
      if (const RawTag raw = raw_tag(rest(), "raw"); raw.length > 0) return raw_text(raw);
    }
    advance(sign ? 3 : 2);
    return inside_tag(kind == '%');
  }

  Result<void> comment(char sign) {
    const size_t skip = sign ? 3 : 2;
    const size_t end = rest().find("#}", skip);
    if (end == std::string_view::npos) return error("missing end of comment tag");
    const char last = sign_at(rest(), end - 1);
    const char end_sign = end > skip ? last : 0;
    advance(end + 2);
    after_tag(end_sign, true);
    return {};
  }

  Result<void> raw_text(const RawTag& begin) {
    advance(begin.length);
    line_starting_ = false;
    // Unlike other block tags, {% raw %} does not swallow the newline after it.
    if (begin.sign_end == '-') after_tag('-', false);
    const std::string_view text = rest();
    size_t at = 0;
    for (; (at = text.find("{%", at)) != std::string_view::npos; at += 2) {
      const RawTag end = raw_tag(text.substr(at), "endraw");
      if (end.length == 0) continue;
      push(TokenType::kText, std::string(before_tag(text.substr(0, at), end.sign_begin, false)));
      advance(at + end.length);
      after_tag(end.sign_end, true);
      return {};
    }
    return error("missing end of raw directive");
  }

  Result<void> inside_tag(bool block) {
    push(block ? TokenType::kBlockBegin : TokenType::kPrintBegin);
    const std::string_view close = block ? "%}" : "}}";
    std::string brackets;
    while (true) {
      advance(rest().size() - strip_space_left(rest()).size());
      const std::string_view text = rest();
      if (text.empty()) return error("unexpected end of template inside a tag");
      if (brackets.empty()) {
        const char sign = sign_at(text, 0);
        const bool signed_end = sign && (block || sign == '-') && text.substr(1).starts_with(close);
        if (signed_end || text.starts_with(close)) {
          push(block ? TokenType::kBlockEnd : TokenType::kPrintEnd);
          advance(signed_end ? 3 : 2);
          after_tag(signed_end ? sign : 0, block);
          return {};
        }
      }
      MK_TRY(token(brackets));
    }
  }

  Result<void> token(std::string& brackets) {
    const char c = source_[at_];
    if (c == '"' || c == '\'') return string();
    if (is_digit(c)) return number();
    if (is_name_start(c)) {
      size_t end = at_;
      while (end < source_.size() && is_name_part(source_[end])) ++end;
      push(TokenType::kName, source_.substr(at_, end - at_));
      advance(end - at_);
      return {};
    }
    for (const std::string_view op : kOperators) {
      if (!rest().starts_with(op)) continue;
      if (op == "(" || op == "[" || op == "{") brackets += op == "(" ? ')' : op == "[" ? ']' : '}';
      if (op == ")" || op == "]" || op == "}") {
        if (brackets.empty() || brackets.back() != op[0]) return error("unexpected '{}'", op);
        brackets.pop_back();
      }
      push(TokenType::kOperator, std::string(op));
      advance(op.size());
      return {};
    }
    return error("unexpected char {}", byte_name(c));
  }

  Result<void> number() {
    const std::string_view text = rest();
    const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
    if (text.size() > 1 && text[0] == '0' && !is_digit(text[1]) && text[1] != '.') {
      const char letter = static_cast<char>(text[1] | 0x20);
      const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
      if (base != 0) return based_integer(base);
    }
    std::string digits;
    size_t end = 0;
    const auto take_digits = [&] {
      while (end < text.size()) {
        const bool joins = text[end] == '_' && end + 1 < text.size() && is_digit(text[end + 1]);
        if (!is_digit(text[end]) && !joins) break;
        if (text[end] != '_') digits += text[end];
        ++end;
      }
    };
    take_digits();
    bool real = false;
    if (!after_dot && end + 1 < text.size() && text[end] == '.' && is_digit(text[end + 1])) {
      real = true;
      digits += '.';
      ++end;
      take_digits();
    }
    if (!after_dot && end < text.size() && (text[end] | 0x20) == 'e') {
      size_t exponent = end + 1;
      if (exponent < text.size() && (text[exponent] == '-' || text[exponent] == '+')) ++exponent;
      if (exponent < text.size() && is_digit(text[exponent])) {
        real = true;
        digits += 'e';
        if (text[end + 1] == '-') digits += '-';
        end = exponent;
        take_digits();
      }
    }
    return push_number(digits, real, end);
  }

  Result<void> push_number(const std::string& digits, bool real, size_t length) {
    Token token{.type = real ? TokenType::kFloat : TokenType::kInteger, .line = line_};
    const char* const last = digits.data() + digits.size();
    if (real) {
      // Too large is infinity and too small is zero, as for Python.
      token.real = std::strtod(digits.c_str(), nullptr);
    } else if (std::from_chars(digits.data(), last, token.integer).ec != std::errc()) {
      return error("number {} is out of range", digits);
    }
    token.value = digits;
    tokens_.push_back(std::move(token));
    advance(length);
    return {};
  }

  Result<void> based_integer(int base) {
    const std::string_view text = rest();
    size_t end = 2;
    std::string digits;
    while (end < text.size() && (text[end] == '_' || digit_value(text[end]) < base)) {
      if (text[end] != '_') digits += text[end];
      ++end;
    }
    Token token{.type = TokenType::kInteger, .line = line_, .value = digits};
    const char* const last = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), last, token.integer, base);
    if (parsed.ec != std::errc()) return error("malformed number {}", text.substr(0, end));
    tokens_.push_back(std::move(token));
    advance(end);
    return {};
  }

  Result<void> string() {
    const std::string_view text = rest();
    std::string value;
    size_t i = 1;
    while (i < text.size() && text[i] != text[0]) {
      if (text[i] != '\\') {
        value += text[i++];
        continue;
      }
      if (i + 1 >= text.size()) break;
      MK_TRY(escape(text, i, value));
    }
    if (i >= text.size()) return error("string without an end");
    push(TokenType::kString, std::move(value));
    advance(i + 1);
    return {};
  }

  /// Resolves the escape at text[i], as Python's unicode-escape codec, and steps over it.
  Result<void> escape(std::string_view text, size_t& i, std::string& value) {
    static constexpr std::string_view kFrom = "abfnrtv\\'\"";
    static constexpr std::string_view kTo = "\a\b\f\n\r\t\v\\'\"";
    const char c = text[i + 1];
    if (c == '\n') {
      i += 2;
      return {};
    }
    if (const size_t at = kFrom.find(c); at != std::string_view::npos) {
      value += kTo[at];
      i += 2;
      return {};
    }
    const bool octal = c >= '0' && c <= '7';
    const int digits = octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {
      value += '\\';  // Python keeps an escape that it does not know
      ++i;
      return {};
    }
    uint32_t code_point = 0;
    int count = 0;
    const size_t first = i + (octal ? 1 : 2);
    for (; count < digits && first + count < text.size(); ++count) {
      const int digit = digit_value(text[first + count]);
      if (digit >= (octal ? 8 : 16)) break;
      code_point = code_point * (octal ? 8 : 16) + static_cast<uint32_t>(digit);
    }
    if (!octal && count < digits) return error("truncated \\{} escape in a string", c);
    const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
    if (code_point > 0x10FFFF || surrogate) {
      return error("escape \\{} is no Unicode character", text.substr(i + 1, count + 1));
    }
    utf8_append(value, code_point);
    i = first + static_cast<size_t>(count);
    return {};
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

bool is_python_space(uint32_t c) {
  if (c <= 0x20) return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view strip_space_left(std::string_view text) {
  while (!text.empty()) {
    const Utf8Char c = utf8_next(text);
    if (!is_python_space(c.code_point)) break;
    text.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return text;
}

std::string_view strip_space_right(std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 && (text[start] & 0xC0) == 0x80) --start;
    if (!is_python_space(utf8_next(text.substr(start)).code_point)) break;
    text.remove_suffix(text.size() - start);
  }
  return text;
}

Result<std::vector<Token>> tokenize(std::string_view source) {
  return Lexer(normalise_newlines(source)).run();
}

}  // namespace minke::jinja
