#include "minke/text/split_steps.h"

#include "minke/text/char_class.h"
#include "minke/text/isolate.h"

namespace minke {
namespace {

using char_class::kLetter;
using char_class::kMark;
using char_class::kNewline;
using char_class::kNumber;
using char_class::kOther;
using char_class::kPunctuation;
using char_class::kSpace;
using char_class::kSymbol;

/// The length of a contraction (C in the header) at the start of `text`, else 0.
size_t contraction_bytes(std::string_view text, bool ignore_case) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  const char fold = ignore_case ? ' ' : '\0';  // ASCII letters differ from their upper case in 0x20
  const auto at = [&](size_t i) { return static_cast<char>(text[i] | fold); };
  for (const char c : {'s', 't', 'm', 'd'}) {
    if (at(1) == c) return 2;
  }
  if (text.size() < 3) return 0;
  for (const std::string_view two : {"re", "ve", "ll"}) {
    if (at(1) == two[0] && at(2) == two[1]) return 3;
  }
  // The long s is an s without regard to case (Unicode's CaseFolding.txt), also for 's.
  return ignore_case && text.substr(1, 2) == "\u017F" ? 3 : 0;
}

/// `\s+(?!\S)|\s+`: a run of white space leaves its last character to what follows, unless that is
/// the end or the run has but one.
size_t white_space_end(std::string_view text, size_t begin) {
  size_t at = begin;
  size_t last = begin;
  while (at < text.size()) {
    const TextChar c = char_at(text, at);
    if ((c.kind & kSpace) == 0) break;
    last = at;
    at += c.bytes;
  }
  return at < text.size() && last > begin ? last : at;
}

/// `\s*[\r\n]+|\s+(?!\S)|\s+`: a run of white space up to its last line break, or as above.
size_t line_or_space_end(std::string_view text, size_t begin) {
  const size_t end = run_end(text, begin, kSpace);
  const size_t newline = text.substr(begin, end - begin).find_last_of("\r\n");
  return newline == std::string_view::npos ? white_space_end(text, begin) : begin + newline + 1;
}

struct WordShape {
  uint8_t word;    // classes that make words
  int digits_max;  // in a piece
};

/// C|[^\r\n\p{L}\p{N}]?[word]+|\p{N}{1,digits_max}| ?[^\s\p{N}word]+[\r\n]*|white space
template <WordShape shape>
size_t split_words(std::string_view text, size_t begin) {
  constexpr auto kRest = static_cast<uint8_t>(~(kSpace | kNewline | kNumber | shape.word));
  const TextChar first = char_at(text, begin);
  if (first.code_point == '\'') {
    const size_t bytes = contraction_bytes(text.substr(begin), true);
    if (bytes > 0) return begin + bytes;
  }
  const size_t second = begin + first.bytes;
  if ((first.kind & shape.word) != 0) return run_end(text, second, shape.word);
  if ((first.kind & (kNewline | kNumber)) == 0) {
    if (const size_t end = run_end(text, second, shape.word); end > second) return end;
  }
  if ((first.kind & kNumber) != 0) {
    size_t end = second;
    for (int i = 1; i < shape.digits_max && end < text.size(); ++i) {
      const TextChar c = char_at(text, end);
      if ((c.kind & kNumber) == 0) break;
      end += c.bytes;
    }
    return end;
  }
  const size_t rest = first.code_point == ' ' ? second : begin;
  if (const size_t end = run_end(text, rest, kRest); end > rest) {
    return run_end(text, end, kNewline);
  }
  return line_or_space_end(text, begin);
}

/// The end of DeepSeek-V3's match at `at`, or `at`.
size_t match_deepseek_v3(std::string_view text, size_t at) {
  const TextChar first = char_at(text, at);
  const size_t second = at + first.bytes;
  if (first.code_point < 0x80 && (first.kind & (kPunctuation | kSymbol)) != 0) {
    size_t end = second;
    while (end < text.size() && static_cast<unsigned char>(text[end]) < 0x80 &&
           char_class::kOfAscii[static_cast<unsigned char>(text[end])] == kLetter) {
      ++end;
    }
    if (end > second) return end;
  }
  if ((first.kind & (kLetter | kMark)) != 0) return run_end(text, second, kLetter | kMark);
  if ((first.kind & (kNewline | kPunctuation | kSymbol)) == 0) {
    if (const size_t end = run_end(text, second, kLetter | kMark); end > second) return end;
  }
  const size_t signs = first.code_point == ' ' ? second : at;
  if (const size_t end = run_end(text, signs, kPunctuation | kSymbol); end > signs) {
    return run_end(text, end, kNewline);
  }
  return (first.kind & kSpace) != 0 ? line_or_space_end(text, at) : at;
}

/// \s?[mask]+
template <uint8_t mask>
size_t match_spaced(std::string_view text, size_t at) {
  const TextChar first = char_at(text, at);
  if ((first.kind & kSpace) == 0) return run_end(text, at, mask);
  const size_t end = run_end(text, at + first.bytes, mask);
  return end > at + first.bytes ? end : at;
}

/// \p{P} and the symbols of ASCII.
size_t match_punctuation(std::string_view text, size_t at, bool with_backtick) {
  while (at < text.size()) {
    const TextChar c = char_at(text, at);
    const bool symbol =
        c.kind == kSymbol && c.code_point < 0x80 && (with_backtick || c.code_point != '`');
    if (c.kind != kPunctuation && !symbol) break;
    at += c.bytes;
  }
  return at;
}

size_t match_numbers(std::string_view text, size_t at, int count_max) {
  for (int i = 0; i < count_max && at < text.size(); ++i) {
    const TextChar c = char_at(text, at);
    if (c.kind != kNumber) break;
    at += c.bytes;
  }
  return at;
}

}  // namespace

size_t split_gpt2(std::string_view text, size_t begin) {
  constexpr uint8_t kRest = kMark | kPunctuation | kSymbol | kOther;
  if (const size_t bytes = contraction_bytes(text.substr(begin), false); bytes > 0) {
    return begin + bytes;
  }
  const size_t word = text[begin] == ' ' && begin + 1 < text.size() ? begin + 1 : begin;
  const TextChar first = char_at(text, word);
  if ((first.kind & kSpace) != 0) return white_space_end(text, begin);
  const uint8_t mask = (first.kind & kRest) != 0 ? kRest : first.kind;
  return run_end(text, word + first.bytes, mask);
}

size_t split_llama3(std::string_view text, size_t begin) {
  return split_words<WordShape{.word = kLetter, .digits_max = 3}>(text, begin);
}

size_t split_qwen2(std::string_view text, size_t begin) {
  return split_words<WordShape{.word = kLetter, .digits_max = 1}>(text, begin);
}

size_t split_qwen35(std::string_view text, size_t begin) {
  return split_words<WordShape{.word = kLetter | kMark, .digits_max = 1}>(text, begin);
}

size_t split_deepseek_v3(std::string_view text, size_t begin) {
  return isolate(text, begin, [&](size_t at) { return match_deepseek_v3(text, at); });
}

size_t split_trailing_space(std::string_view text, size_t begin) {
  size_t trailing = begin;  // where the white space begins that reaches up to `at`
  for (size_t at = begin; at < text.size();) {
    const TextChar c = char_at(text, at);
    at += c.bytes;
    if ((c.kind & kSpace) == 0) trailing = at;
  }
  return trailing > begin ? trailing : text.size();
}

size_t split_spaced_letters(std::string_view text, size_t begin) {
  return isolate(text, begin, [&](size_t at) { return match_spaced<kLetter>(text, at); });
}

size_t split_spaced_punctuation(std::string_view text, size_t begin) {
  return isolate(text, begin, [&](size_t at) { return match_spaced<kPunctuation>(text, at); });
}

size_t split_punctuation(std::string_view text, size_t begin) {
  return isolate(text, begin, [&](size_t at) { return match_punctuation(text, at, true); });
}

size_t split_punctuation_but_backtick(std::string_view text, size_t begin) {
  return isolate(text, begin, [&](size_t at) { return match_punctuation(text, at, false); });
}

size_t split_each_newline(std::string_view text, size_t begin) {
  const size_t at = text.find_first_of("\r\n", begin);
  if (at == begin) return begin + 1;
  return at == std::string_view::npos ? text.size() : at;
}

size_t split_each_number(std::string_view text, size_t begin) {
  return isolate(text, begin, [&](size_t at) { return match_numbers(text, at, 1); });
}

size_t split_numbers_by_three(std::string_view text, size_t begin) {
  return isolate(text, begin, [&](size_t at) { return match_numbers(text, at, 3); });
}

size_t split_numbers(std::string_view text, size_t begin) {
  return isolate(text, begin, [&](size_t at) { return run_end(text, at, kNumber); });
}

size_t split_three_digits(std::string_view text, size_t begin) {
  return isolate(text, begin, [&](size_t at) {
    for (size_t i = at; i < at + 3; ++i) {
      if (i >= text.size() || text[i] < '0' || text[i] > '9') return at;
    }
    return at + 3;
  });
}

size_t split_lines(std::string_view text, size_t begin) {
  const size_t at =
      text[begin] == '\n' ? text.find_first_not_of('\n', begin) : text.find_first_of('\n', begin);
  return at == std::string_view::npos ? text.size() : at;
}

size_t split_each_character(std::string_view text, size_t begin) {
  return begin + char_at(text, begin).bytes;
}

size_t split_before_space(std::string_view text, size_t begin) {
  const size_t at = text.find(' ', begin + 1);
  return at == std::string_view::npos ? text.size() : at;
}

}  // namespace minke
