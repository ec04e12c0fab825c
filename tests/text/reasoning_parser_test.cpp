// The reasoning parser against whole replies and all ways to cut them into pieces.
#include "minke/text/reasoning_parser.h"

#include <gtest/gtest.h>

#include <tuple>
#include <vector>

namespace minke {
namespace {

ReasoningPiece parse(const std::vector<std::string>& pieces, bool open) {
  ReasoningParser parser(open);
  ReasoningPiece all;
  const auto add = [&](const ReasoningPiece& piece) {
    all.reasoning += piece.reasoning;
    all.content += piece.content;
  };
  for (const std::string& piece : pieces) add(parser.feed(piece));
  add(parser.flush());
  return all;
}

const std::vector<std::tuple<std::string, bool, std::string, std::string>> kReplies = {
    {"<think>\nwhy\n</think>\n\nblue", false, "why", "blue"},
    {"\n <think>why</think>blue", false, "why", "blue"},
    {"why\n</think>\nblue", true, "why", "blue"},
    {"no tag", false, "", "no tag"},
    {"  no tag", false, "", "  no tag"},
    {"<thin", false, "", "<thin"},
    {"<thinker>", false, "", "<thinker>"},
    {"say <think>x</think>", false, "", "say <think>x</think>"},
    {"<think>a < b </thin x </think>c</think>d", false, "a < b </thin x", "c</think>d"},
    {"<think>cut of", false, "cut of", ""},
    {"<think></think>only", false, "", "only"},
    {"<think>\n\n", false, "", ""},
    {"", false, "", ""},
    {"", true, "", ""},
    {"hm </thin", true, "hm </thin", ""},
};

TEST(ReasoningParserTest, RepliesAreSplitAsExpected) {
  for (const auto& [reply, open, reasoning, content] : kReplies) {
    const ReasoningPiece piece = parse({reply}, open);
    EXPECT_EQ(piece.reasoning, reasoning) << reply;
    EXPECT_EQ(piece.content, content) << reply;
  }
}

TEST(ReasoningParserTest, AnyCutsGiveTheSameResult) {
  for (const auto& [reply, open, reasoning, content] : kReplies) {
    std::vector<std::string> bytes;
    for (const char c : reply) bytes.emplace_back(1, c);
    std::vector<std::vector<std::string>> cuts = {bytes};
    for (size_t a = 0; a <= reply.size(); ++a) {
      for (size_t b = a; b <= reply.size(); ++b) {
        cuts.push_back({reply.substr(0, a), reply.substr(a, b - a), reply.substr(b)});
      }
    }
    for (const auto& pieces : cuts) {
      const ReasoningPiece piece = parse(pieces, open);
      EXPECT_EQ(piece.reasoning, reasoning) << reply;
      EXPECT_EQ(piece.content, content) << reply;
    }
  }
}

TEST(ReasoningParserTest, ContentIsNotHeldBack) {
  ReasoningParser parser(false);
  EXPECT_EQ(parser.feed("H").content, "H");
  EXPECT_EQ(parser.feed("i <").content, "i <");
}

TEST(ReasoningParserTest, OnlyAnOpeningTagAtThePromptsEndOpensAThought) {
  EXPECT_TRUE(ReasoningParser::opened_by("<|assistant|><think>\n"));
  EXPECT_FALSE(ReasoningParser::opened_by("<think>\n</think>\n"));
  EXPECT_FALSE(ReasoningParser::opened_by("<|im_start|>assistant\n"));
  EXPECT_FALSE(ReasoningParser::opened_by(""));
}

}  // namespace
}  // namespace minke
