// Goal: the hand-written scanner cuts as the regular expressions do. Method: an oracle that tries
// each alternative at each place with backtracking, over characters written out with their class;
// the classes themselves are checked by the golden test against llama.cpp.
#include "minke/text/pretokenizer.h"

#include <gtest/gtest.h>

#include <functional>

#include "minke/base/random.h"

namespace minke {
namespace {

using Pieces = std::vector<std::string>;

Pieces pieces_of(std::string_view name, std::string_view text) {
  Pieces pieces;
  const Pretokenizer* row = find_pretokenizer(name);
  EXPECT_NE(row, nullptr);
  pretokenize(*row, text, [&](std::string_view piece) { pieces.emplace_back(piece); });
  return pieces;
}

struct Char {
  std::string bytes;
  char kind;  // L, N, S (white space) or O
};

const std::vector<Char> kChars = {
    {"a", 'L'},      {"s", 'L'},    {"t", 'L'},  {"r", 'L'},  {"e", 'L'},      {"l", 'L'},
    {"é", 'L'},      {"中", 'L'},   {"1", 'N'},  {"٣", 'N'},  {"½", 'N'},      {"Ⅷ", 'N'},
    {" ", 'S'},      {" ", 'S'},    {"\n", 'S'}, {"\t", 'S'}, {"\u00a0", 'S'}, {"\u3000", 'S'},
    {"\u0085", 'S'}, {"'", 'O'},    {"'", 'O'},  {"!", 'O'},  {"👍", 'O'},     {"\u0301", 'O'},
    {"\u200b", 'O'}, {"\xff", 'O'}, {"_", 'O'}};

/// The end of the first alternative of GPT-2's expression that matches at `at`.
size_t match_gpt2(const std::vector<Char>& text, size_t at) {
  for (const std::string_view tail : {"s", "t", "re", "ve", "m", "ll", "d"}) {
    bool same = text[at].bytes == "'" && at + tail.size() < text.size();
    for (size_t i = 0; same && i < tail.size(); ++i) same = text[at + 1 + i].bytes[0] == tail[i];
    if (same) return at + 1 + tail.size();
  }
  for (const char kind : {'L', 'N', 'O'}) {
    for (const size_t skip : {size_t{1}, size_t{0}}) {
      if (skip == 1 && text[at].bytes != " ") continue;
      size_t end = at + skip;
      while (end < text.size() && text[end].kind == kind) ++end;
      if (end > at + skip) return end;
    }
  }
  size_t run = at;
  while (run < text.size() && text[run].kind == 'S') ++run;
  for (size_t end = run; end > at; --end) {  // \s+(?!\S), giving back one at a time
    if (end == text.size() || text[end].kind == 'S') return end;
  }
  return run;  // \s+
}

Pieces oracle(const std::vector<Char>& text, bool each_number_alone) {
  Pieces pieces;
  const auto cut = [&](const std::vector<Char>& part) {
    for (size_t at = 0; at < part.size();) {
      const size_t end = match_gpt2(part, at);
      std::string piece;
      for (; at < end; ++at) piece += part[at].bytes;
      pieces.push_back(piece);
    }
  };
  if (!each_number_alone) {
    cut(text);
    return pieces;
  }
  std::vector<Char> part;
  for (const Char& c : text) {
    if (c.kind == 'N') {
      cut(part);
      cut({c});
      part.clear();
    } else {
      part.push_back(c);
    }
  }
  cut(part);
  return pieces;
}

TEST(Pretokenizer, CutsAsTheExpressionsDo) {
  Random random(11);
  for (int round = 0; round < 20000; ++round) {
    std::vector<Char> text;
    std::string bytes;
    for (uint64_t i = random.below(14); i-- > 0;) {
      text.push_back(kChars[random.below(kChars.size())]);
      bytes += text.back().bytes;
    }
    ASSERT_EQ(pieces_of("gpt-2", bytes), oracle(text, false)) << bytes;
    ASSERT_EQ(pieces_of("smollm", bytes), oracle(text, true)) << bytes;
  }
}

TEST(Pretokenizer, KnownCutsComeOut) {
  EXPECT_EQ(pieces_of("gpt-2", "I'll pay 120  now!"),
            (Pieces{"I", "'ll", " pay", " 120", " ", " now", "!"}));
  EXPECT_EQ(pieces_of("smollm", "I'll pay 120  now!"),
            (Pieces{"I", "'ll", " pay", " ", "1", "2", "0", " ", " now", "!"}));
  EXPECT_EQ(pieces_of("gpt-2", "\n\n  x"), (Pieces{"\n\n ", " x"}));
  EXPECT_EQ(pieces_of("gpt-2", "x \n"), (Pieces{"x", " \n"}));
  EXPECT_EQ(pieces_of("gpt-2", ""), Pieces{});
}

TEST(Pretokenizer, PiecesOfAnyBytesAreTheText) {
  Random random(12);
  for (int round = 0; round < 5000; ++round) {
    std::string text(random.below(30), '\0');
    for (char& c : text) c = static_cast<char>(random.next());
    for (const char* name : {"gpt-2", "smollm"}) {
      std::string together;
      for (const std::string& piece : pieces_of(name, text)) {
        EXPECT_FALSE(piece.empty());
        together += piece;
      }
      ASSERT_EQ(together, text);
    }
  }
}

TEST(Pretokenizer, AnUnknownNameHasNoRow) {
  EXPECT_EQ(find_pretokenizer("klingon"), nullptr);
  EXPECT_EQ(find_pretokenizer(""), nullptr);
}

}  // namespace
}  // namespace minke
