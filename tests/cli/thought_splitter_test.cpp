// Goal: thought and answer are told apart however the stream is cut. Method: every reply is fed
// whole, byte by byte and cut at each place, and all must agree with what is written down.
#include "minke/cli/thought_splitter.h"

#include <gtest/gtest.h>

#include <vector>

namespace minke {
namespace {

ThoughtSplitter::Parts split(const std::vector<std::string_view>& pieces, bool inside) {
  ThoughtSplitter splitter(inside);
  ThoughtSplitter::Parts all;
  const auto add = [&](const ThoughtSplitter::Parts& parts) {
    all.thought += parts.thought;
    all.answer += parts.answer;
  };
  for (const std::string_view piece : pieces) add(splitter.feed(piece));
  add(splitter.flush());
  return all;
}

struct Case {
  const char* text;
  bool inside;
  const char* thought;
  const char* answer;
};

const Case kCases[] = {
    {"plain", false, "", "plain"},
    {"", false, "", ""},
    {"<think>hm</think>\n\nyes", false, "hm", "yes"},
    {"\n <think>hm</think>yes", false, "hm", "yes"},
    {"hm</think>\nyes", true, "hm", "yes"},
    {"<think>cut of", false, "cut of", ""},
    {"hm </thin", true, "hm </thin", ""},
    {"<think></think>\n\n", false, "", ""},
    {"<think", false, "", "<think"},
    {"a <think>b</think>", false, "", "a <think>b</think>"},
    {"<think>a</think>b<think>c</think>", false, "a", "b<think>c</think>"},
    {"<think>a </ b</think>c", false, "a </ b", "c"},
    {"  indented", false, "", "  indented"},
};

TEST(ThoughtSplitter, PartsDoNotDependOnHowTheStreamIsCut) {
  for (const Case& c : kCases) {
    const std::string_view text = c.text;
    std::vector<std::vector<std::string_view>> cuts = {{text}, {}};
    for (size_t i = 0; i < text.size(); ++i) {
      cuts[1].push_back(text.substr(i, 1));
      cuts.push_back({text.substr(0, i), text.substr(i)});
    }
    for (const auto& pieces : cuts) {
      const ThoughtSplitter::Parts parts = split(pieces, c.inside);
      EXPECT_EQ(parts.thought, c.thought) << c.text << " in " << pieces.size();
      EXPECT_EQ(parts.answer, c.answer) << c.text << " in " << pieces.size();
    }
  }
}

TEST(ThoughtSplitter, AnAnswerIsNotHeldBack) {
  ThoughtSplitter splitter;
  EXPECT_EQ(splitter.feed("H").answer, "H");
  EXPECT_EQ(splitter.feed("i <").answer, "i <");
}

TEST(ThoughtSplitter, APromptEndsInAThoughtOnlyWithTheOpenTagLast) {
  EXPECT_TRUE(ends_in_thought("<|assistant|><think>\n"));
  EXPECT_FALSE(ends_in_thought("<think>\n</think>\n"));
  EXPECT_FALSE(ends_in_thought("<|im_start|>assistant\n"));
  EXPECT_FALSE(ends_in_thought(""));
}

}  // namespace
}  // namespace minke
