// Goal: each name stands for its steps, one inside the pieces of the other. Method: known cuts, and
// all names over random bytes; the steps themselves are compared in split_steps_test.cpp.
#include "minke/text/pretokenizer.h"

#include <gtest/gtest.h>

#include <sstream>

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

TEST(Pretokenizer, KnownCutsComeOut) {
  EXPECT_EQ(pieces_of("gpt-2", "I'll pay 120  now!"),
            (Pieces{"I", "'ll", " pay", " 120", " ", " now", "!"}));
  EXPECT_EQ(pieces_of("smollm", "I'll pay 120  now!"),
            (Pieces{"I", "'ll", " pay", " ", "1", "2", "0", " ", " now", "!"}));
  EXPECT_EQ(pieces_of("gpt-2", "\n\n  x"), (Pieces{"\n\n ", " x"}));
  EXPECT_EQ(pieces_of("gpt-2", "x \n"), (Pieces{"x", " \n"}));
  EXPECT_EQ(pieces_of("gpt-2", ""), Pieces{});
  EXPECT_EQ(pieces_of("llama-bpe", "It'S 12345, so\n\n x"),
            (Pieces{"It", "'S", " ", "123", "45", ",", " so", "\n\n", " x"}));
  EXPECT_EQ(pieces_of("qwen2", "a(b) 123"), (Pieces{"a", "(b", ")", " ", "1", "2", "3"}));
  EXPECT_EQ(pieces_of("deepseek-v3", "x=f(2024)中文か。_né"),
            (Pieces{"x", "=f", "(", "202", "4", ")", "中文か", "。_", "né"}));
  EXPECT_EQ(pieces_of("deepseek-llm", "Hi there, 42\n\n中文 "),
            (Pieces{"Hi", " there", ",", " ", "4", "2", "\n", "\n", "中文", " "}));
  EXPECT_EQ(pieces_of("deepseek-coder", "f(42) 中"), (Pieces{"f", "(", "4", "2", ")", " ", "中"}));
  EXPECT_EQ(pieces_of("falcon", "a+=1234 b"), (Pieces{"a", "+=", "123", "4", " b"}));
}

TEST(Pretokenizer, PiecesOfAnyBytesAreTheText) {
  Random random(12);
  for (int round = 0; round < 1000; ++round) {
    std::string text(random.below(30), '\0');
    for (char& c : text) c = static_cast<char>(random.next());
    std::istringstream names(pretokenizer_names());
    for (std::string name; std::getline(names >> std::ws, name, ',');) {
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
