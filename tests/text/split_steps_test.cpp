// Goal: every splitting step cuts exactly as the regular expression that it stands for. Method:
// PCRE2 as the oracle, over every code point of Unicode 14 (which PCRE2 10.42 knows) between
// neighbours of all classes, and over random texts of characters that the expressions name.
#define PCRE2_CODE_UNIT_WIDTH 8
#include "minke/text/split_steps.h"

#include <gtest/gtest.h>
#include <pcre2.h>

#include <memory>
#include <string>
#include <vector>

#include "minke/base/random.h"
#include "minke/base/utf8.h"
#include "minke/text/pretokenizer.h"

namespace minke {
namespace {

using Pieces = std::vector<std::string_view>;

/// The expression with \s as tokenizers mean it: PCRE2 counts U+180E, too.
std::string for_pcre2(std::string_view regex) {
  constexpr std::string_view kSpaces = R"(\t-\r\x{85}\p{Z})";
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < regex.size(); ++i) {
    const char next = i + 1 < regex.size() ? regex[i + 1] : '\0';
    if (regex[i] == '\\' && (next == 's' || next == 'S')) {
      EXPECT_TRUE(next == 's' || !in_class);
      const std::string all = (next == 'S' ? "[^" : "[") + std::string(kSpaces) + "]";
      out += in_class ? std::string(kSpaces) : all;
      ++i;
    } else if (regex[i] == '\\') {
      out += regex.substr(i++, 2);
    } else {
      if (regex[i] == '[' && !in_class)
        in_class = true;
      else if (regex[i] == ']')
        in_class = false;
      out += regex[i];
    }
  }
  return out;
}

class Regex {
 public:
  explicit Regex(std::string_view source) {
    const std::string text = for_pcre2(source);
    int error = 0;
    size_t at = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_DOLLAR_ENDONLY, &error, &at, nullptr));
    EXPECT_NE(code_, nullptr) << text << ": error " << error << " at " << at;
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
    match_.reset(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
  }
  /// The first match from `begin` on, [size, size) when there is none.
  std::pair<size_t, size_t> find(std::string_view text, size_t begin) const {
    const int found = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                  text.size(), begin, PCRE2_NO_UTF_CHECK, match_.get(), nullptr);
    if (found < 0) return {text.size(), text.size()};
    const size_t* ends = pcre2_get_ovector_pointer(match_.get());
    return {ends[0], ends[1]};
  }
  Pieces isolated(std::string_view text) const {
    Pieces pieces;
    for (size_t at = 0; at < text.size();) {
      const auto [begin, end] = find(text, at);
      if (begin > at) pieces.push_back(text.substr(at, begin - at));
      if (end > begin) pieces.push_back(text.substr(begin, end - begin));
      at = end;
    }
    return pieces;
  }

 private:
  std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code_{nullptr, pcre2_code_free};
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match_{nullptr,
                                                                             pcre2_match_data_free};
};

Pieces pieces_of(SplitStep step, std::string_view text) {
  Pieces pieces;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = step(text, begin);
    if (end <= begin || end > text.size()) {
      ADD_FAILURE() << "a piece from " << begin << " to " << end << " of " << text.size();
      break;
    }
    pieces.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return pieces;
}

/// The first place where they differ, in words; empty when they are equal.
std::string difference(const Pieces& a, const Pieces& b) {
  for (size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const std::string_view left = i < a.size() ? a[i] : "(end)";
    const std::string_view right = i < b.size() ? b[i] : "(end)";
    if (left != right) {
      return "piece " + std::to_string(i) + ": '" + std::string(left.substr(0, 80)) + "' and '" +
             std::string(right.substr(0, 80)) + "'";
    }
  }
  return "";
}

constexpr std::string_view kCasedLetters =
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ"
    "ἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1F7Dᾀ-ᾴᾶ-ᾼ\u1FBEῂ-ῄῆ-ῌῐ-\u1FD3ῖ-\u1FDBῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212A-ℭ"
    "ℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ\U00010400-\U0001044F"
    "\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2"
    "\U000118A0-\U000118DF\U0001E900-\U0001E943]+";

constexpr std::string_view kRegexes[] = {
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3})"
    R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*)"
    R"(|\s*[\r\n]|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
    R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)",
    "[一-龥぀-ゟ゠-ヿ]+",
    R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)",
    "[一-龥ࠀ-一가-\uD7FF]+",
    R"(\s+$)",
    R"(\s?\p{L}+)",
    R"(\s?\p{P}+)",
    R"([\p{P}\$\+<=>\^~\|`]+)",
    R"([\p{P}\$\+<=>\^~\|]+)",
    R"([\r\n])",
    R"(\p{N})",
    R"(\p{N}{1,3})",
    R"(\p{N}+)",
    R"([0-9][0-9][0-9])",
    R"([^\n]+|[\n]+)",
    R"([^\n]|\n)",
    kCasedLetters,
};

/// Every assigned code point (but surrogates) between two characters that `random` draws, so that
/// each stands beside each class in one of a few such texts. NUL is a character, too.
std::string all_code_points(Random& random) {
  const Regex assigned(R"(\P{Cn})");
  const std::string_view around[] = {"", "a", " ", "1", "'", "\n", "中", "\u0301", "  ", "é!", "s"};
  std::string text;
  for (uint32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (code_point >= 0xD800 && code_point < 0xE000) continue;
    if (code_point >= 0xF0010 && (code_point & 0xFFFF) > 0x10) continue;  // private use
    std::string c;
    utf8_append(c, code_point);
    if (assigned.find(c, 0).second == 0 || assigned.find(c, 0).first != 0) continue;
    text += around[random.below(std::size(around))];
    text += c;
    text += around[random.below(std::size(around))];
  }
  return text;
}

TEST(SplitSteps, CutEveryCodePointAsTheirExpressionsDo) {
  Random random(1);
  const std::string text = all_code_points(random);
  ASSERT_GT(text.size(), 500000u);
  for (const std::string_view source : kRegexes) {
    const SplitStep step = find_split_step(source);
    ASSERT_NE(step, nullptr) << source;
    if (step == split_trailing_space) continue;  // PCRE2 would be quadratic; see the next test.
    EXPECT_EQ(difference(pieces_of(step, text), Regex(source).isolated(text)), "") << source;
  }
}

TEST(SplitSteps, CutRandomTextsAsTheirExpressionsDo) {
  const std::string_view parts[] = {
      "a",  "s",  "S",  "t",  "re",     "LL",     "ve",     "é",      "中",
      "ü",  "ʔ",  "1",  "23", "٣",      "½",      "Ⅷ",      " ",      " ",
      "  ", "\n", "\r", "\t", "\u00a0", "\u3000", "\u0085", "\u2028", "'",
      "'",  "!",  "?!", "$",  "`",      "<",      "_",      "、",     "。",
      "！", "‘",  "~",  "👍", "\u0301", "\u200b", "\u180e", "\u017f", "か",
      "ー", "가", "𐐀",  "𠀀", "\u1FBE", "\x1c"};
  std::vector<std::pair<SplitStep, Regex>> rows;
  for (const std::string_view source : kRegexes) {
    rows.emplace_back(find_split_step(source), Regex(source));
  }
  Random random(2);
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (uint64_t i = random.below(12); i-- > 0;) text += parts[random.below(std::size(parts))];
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto& [step, regex] = rows[i];
      ASSERT_EQ(difference(pieces_of(step, text), regex.isolated(text)), "")
          << kRegexes[i] << " of '" << text << "'";
    }
  }
}

TEST(SplitSteps, AnotherExpressionIsNone) {
  EXPECT_EQ(find_split_step(R"(\p{L}+)"), nullptr);
  EXPECT_EQ(find_split_step(""), nullptr);
  EXPECT_EQ(find_split_step(std::string(1 << 20, '\n')), nullptr);
  EXPECT_TRUE(matches_everything(split_qwen2));
  EXPECT_FALSE(matches_everything(split_each_number));
}

TEST(SplitSteps, LongRunsTakeNoQuadraticTime) {
  // 22 expressions over 4 texts of 1 MB: 0.3 s. Quadratic would be 10^12 steps for one of them.
  for (const std::string_view part : {" ", "\n ", "\u200b", "a  "}) {
    std::string text;
    while (text.size() < (size_t{1} << 20)) text += part;
    for (const std::string_view source : kRegexes) {
      ASSERT_FALSE(pieces_of(find_split_step(source), text).empty());
    }
  }
}

}  // namespace
}  // namespace minke
