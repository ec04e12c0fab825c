// Goal: every code point goes both ways, and everything else is refused in the pieces that Python's
// errors="replace" makes. Method: all code points, and an oracle that knows only which byte
// sequences the code points have.
#include "minke/base/utf8.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "minke/base/random.h"

namespace minke {
namespace {

bool is_scalar(uint32_t code_point) { return code_point < 0xD800 || code_point > 0xDFFF; }

/// The bytes of a code point, by arithmetic.
std::string bytes_of(uint32_t code_point) {
  const int size = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
  if (size == 1) return std::string(1, static_cast<char>(code_point));
  std::string bytes;
  for (int i = 1; i < size; ++i) {
    bytes.insert(bytes.begin(), static_cast<char>(0x80 + code_point % 64));
    code_point /= 64;
  }
  const uint32_t leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
  bytes.insert(bytes.begin(), static_cast<char>(leads[size] + code_point));
  return bytes;
}

TEST(Utf8, EveryCodePointGoesBothWays) {
  for (uint32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (!is_scalar(code_point)) continue;
    std::string text;
    utf8_append(text, code_point);
    ASSERT_EQ(text, bytes_of(code_point));
    const Utf8Char c = utf8_next(text + "\x80");
    ASSERT_TRUE(c.valid && !c.truncated && c.code_point == code_point) << code_point;
    ASSERT_EQ(static_cast<size_t>(c.bytes), text.size());
  }
}

TEST(Utf8, EveryPrefixOfACharacterIsTruncatedAndOneBadPiece) {
  for (uint32_t code_point = 0x80; code_point <= 0x10FFFF; code_point += 61) {
    if (!is_scalar(code_point)) continue;
    const std::string text = bytes_of(code_point);
    for (size_t size = 1; size < text.size(); ++size) {
      const Utf8Char cut = utf8_next(text.substr(0, size));
      ASSERT_TRUE(!cut.valid && cut.truncated);
      ASSERT_EQ(static_cast<size_t>(cut.bytes), size);
      const Utf8Char broken = utf8_next(text.substr(0, size) + "a");
      ASSERT_TRUE(!broken.valid && !broken.truncated);
      ASSERT_EQ(static_cast<size_t>(broken.bytes), size);
      ASSERT_EQ(broken.code_point, 0xFFFDu);
    }
  }
}

TEST(Utf8, AnyThreeBytesAreReadAsTheListOfCharactersSays) {
  // All characters, sorted: a prefix of one is where lower_bound lands.
  std::vector<std::string> all;
  for (uint32_t code_point = 0; code_point <= 0x10FFFF; ++code_point) {
    if (is_scalar(code_point)) all.push_back(bytes_of(code_point));
  }
  std::sort(all.begin(), all.end());
  Random random(2);
  for (int round = 0; round < 300000; ++round) {
    std::string text(4, '\0');
    for (char& c : text) {
      c = static_cast<char>(random.below(3) == 0 ? random.next() : 0x80 + random.next() % 0x80);
    }
    size_t expected = 1;  // the longest prefix that some character begins with
    bool valid = false;
    for (size_t size = 1; size <= 4; ++size) {
      const std::string prefix = text.substr(0, size);
      const auto at = std::lower_bound(all.begin(), all.end(), prefix);
      if (at == all.end() || at->substr(0, size) != prefix) break;
      expected = size;
      valid = *at == prefix;
    }
    const Utf8Char c = utf8_next(text);
    ASSERT_EQ(c.valid, valid) << testing::PrintToString(text);
    ASSERT_EQ(static_cast<size_t>(c.bytes), expected) << testing::PrintToString(text);
  }
}

TEST(Utf8, SurrogatesOverlongFormsAndTooLargeOnesAreInvalid) {
  for (const std::string_view text :
       {"\xED\xA0\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xF0\x80\x80\x80",
        "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xFE", "\xFF"}) {
    const Utf8Char c = utf8_next(text);
    EXPECT_FALSE(c.valid);
    EXPECT_FALSE(c.truncated);
    EXPECT_EQ(c.bytes, 1);
  }
}

}  // namespace
}  // namespace minke
