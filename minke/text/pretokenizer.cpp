#include "minke/text/pretokenizer.h"

#include <utf8proc.h>

#include <cstdint>

#include "minke/base/utf8.h"

namespace minke {
namespace {

enum class CharClass : uint8_t { kLetter, kNumber, kSpace, kOther };  // \p{L} \p{N} \s and the rest

struct Char {
  CharClass kind = CharClass::kOther;
  size_t bytes = 1;
};

constexpr CharClass ascii_class(unsigned char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return CharClass::kLetter;
  if (c >= '0' && c <= '9') return CharClass::kNumber;
  if (c == ' ' || (c >= '\t' && c <= '\r')) return CharClass::kSpace;
  return CharClass::kOther;
}

constexpr auto kAsciiClass = [] {
  std::array<CharClass, 128> table{};
  for (size_t c = 0; c < table.size(); ++c) table[c] = ascii_class(static_cast<unsigned char>(c));
  return table;
}();

CharClass class_of(uint32_t code_point) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code_point))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return CharClass::kLetter;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return CharClass::kNumber;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharClass::kSpace;
    default:  // NEL is the one white space beyond ASCII that is no separator.
      return code_point == 0x85 ? CharClass::kSpace : CharClass::kOther;
  }
}

/// The character at `at`, which must be before the end.
Char char_at(std::string_view text, size_t at) {
  const auto first = static_cast<unsigned char>(text[at]);
  if (first < 0x80) return {kAsciiClass[first], 1};
  const Utf8Char decoded = utf8_next(text.substr(at));
  const CharClass kind = decoded.valid ? class_of(decoded.code_point) : CharClass::kOther;
  return {kind, static_cast<size_t>(decoded.bytes)};
}

/// The end of the run of characters of that kind that begins at `at` (may be empty).
size_t run_end(std::string_view text, size_t at, CharClass kind) {
  while (at < text.size()) {
    const Char c = char_at(text, at);
    if (c.kind != kind) break;
    at += c.bytes;
  }
  return at;
}

/// \p{N}, isolated: each number alone, the text between numbers in one piece.
size_t split_each_number(std::string_view text, size_t begin) {
  Char c = char_at(text, begin);
  if (c.kind == CharClass::kNumber) return begin + c.bytes;
  size_t at = begin;
  while (at < text.size()) {
    c = char_at(text, at);
    if (c.kind == CharClass::kNumber) break;
    at += c.bytes;
  }
  return at;
}

/// The length of 's 't 're 've 'm 'll 'd at the start of `text`, else 0.
size_t contraction_bytes(std::string_view text) {
  if (text.size() < 2 || text[0] != '\'') return 0;
  for (const char c : {'s', 't', 'm', 'd'}) {
    if (text[1] == c) return 2;
  }
  for (const std::string_view two : {"re", "ve", "ll"}) {
    if (text.substr(1, 2) == two) return 3;
  }
  return 0;
}

/// `\s+(?!\S)|\s+`: a run of white space leaves its last character to what follows, unless that is
/// the end or the run has but one.
size_t white_space_end(std::string_view text, size_t begin) {
  size_t at = begin;
  size_t last = begin;
  while (at < text.size()) {
    const Char c = char_at(text, at);
    if (c.kind != CharClass::kSpace) break;
    last = at;
    at += c.bytes;
  }
  return at < text.size() && last > begin ? last : at;
}

/// GPT-2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
size_t split_gpt2(std::string_view text, size_t begin) {
  if (const size_t bytes = contraction_bytes(text.substr(begin)); bytes > 0) return begin + bytes;
  const size_t word = text[begin] == ' ' && begin + 1 < text.size() ? begin + 1 : begin;
  const Char first = char_at(text, word);
  if (first.kind == CharClass::kSpace) return white_space_end(text, begin);
  return run_end(text, word + first.bytes, first.kind);
}

constexpr Pretokenizer kPretokenizers[] = {
    {"gpt-2", {split_gpt2}},
    {"smollm", {split_each_number, split_gpt2}},
};

void split(const Pretokenizer& pretokenizer, size_t step, std::string_view text,
           FunctionRef<void(std::string_view)> piece) {
  if (step == pretokenizer.steps.size() || pretokenizer.steps[step] == nullptr) return piece(text);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = pretokenizer.steps[step](text, begin);
    split(pretokenizer, step + 1, text.substr(begin, end - begin), piece);
    begin = end;
  }
}

}  // namespace

const Pretokenizer* find_pretokenizer(std::string_view name) {
  for (const Pretokenizer& row : kPretokenizers) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string pretokenizer_names() {
  std::string names;
  for (const Pretokenizer& row : kPretokenizers) {
    if (!names.empty()) names += ", ";
    names += row.name;
  }
  return names;
}

void pretokenize(const Pretokenizer& pretokenizer, std::string_view text,
                 FunctionRef<void(std::string_view)> piece) {
  if (!text.empty()) split(pretokenizer, 0, text, piece);
}

}  // namespace minke
