// Goal: flags set their fields, and a wrong line is a usage error that helps.
#include "minke/cli/flags.h"

#include <gtest/gtest.h>

#include "minke/engine/request.h"

namespace minke {
namespace {

// One of each kind of flag.
struct Sample {
  bool json = false;
  int ctx = 4096;
  double temperature = 0.7;
  uint64_t seed = 0;
  std::string system;
  std::string kv = "f16";
  std::vector<std::string> stops;
  int verbosity = 0;
  std::string model;
  std::vector<std::string> words;
  Flags flags{"minke sample", "A sample"};

  Sample() {
    flags.positional("MODEL", model, Flags::Need::kRequired, "the model");
    flags.rest("PROMPT", words, "the prompt");
    flags.add("json", json, "as JSON");
    flags.add("ctx,c", ctx, {1, 8192}, "context");
    flags.add("temperature", temperature, {0, 2}, "randomness");
    flags.add("seed", seed, "seed");
    flags.add("system-prompt,s", system, "system prompt");
    flags.choice("kv", kv, {"f32", "f16"}, "cache");
    flags.add("stop", stops, "stop");
    flags.count("verbose,v", verbosity, "more");
    flags.example("minke sample whale");
  }
  Result<Flags::Outcome> parse(const std::vector<std::string>& args) { return flags.parse(args); }
};

TEST(Flags, EachKindSetsItsField) {
  Sample s;
  ASSERT_TRUE(s.parse({"whale", "why", "is", "--json", "-c", "100", "--temperature=0.25", "--seed",
                       "18446744073709551615", "-s", "be kind", "--kv", "f32", "--stop", "a",
                       "--stop", "b", "-vv", "it"}));
  EXPECT_TRUE(s.json);
  EXPECT_EQ(s.ctx, 100);
  EXPECT_EQ(s.temperature, 0.25);
  EXPECT_EQ(s.seed, UINT64_MAX);
  EXPECT_EQ(s.system, "be kind");
  EXPECT_EQ(s.kv, "f32");
  EXPECT_EQ(s.stops, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(s.verbosity, 2);
  EXPECT_EQ(s.model, "whale");
  EXPECT_EQ(s.words, (std::vector<std::string>{"why", "is", "it"}));
}

TEST(Flags, FieldsKeepTheirDefaultsWhenNothingIsGiven) {
  Sample s;
  ASSERT_TRUE(s.parse({"whale"}));
  EXPECT_FALSE(s.json);
  EXPECT_EQ(s.ctx, 4096);
  EXPECT_EQ(s.kv, "f16");
  EXPECT_FALSE(s.flags.given("ctx"));
}

TEST(Flags, GivenTellsAFlagWithItsDefaultFromOneLeftOut) {
  Sample s;
  ASSERT_TRUE(s.parse({"whale", "--ctx", "4096"}));
  EXPECT_TRUE(s.flags.given("ctx"));
}

TEST(Flags, UnderscoresCountAsDashesInNamesAndNotInValues) {
  Sample s;
  ASSERT_TRUE(s.parse({"whale", "--system_prompt", "a_b", "--stop=c_d"}));
  EXPECT_EQ(s.system, "a_b");
  EXPECT_EQ(s.stops, std::vector<std::string>{"c_d"});
}

TEST(Flags, AStopTakesOneValueAndLeavesThePromptAlone) {
  Sample s;
  ASSERT_TRUE(s.parse({"whale", "--stop", "x", "the prompt"}));
  EXPECT_EQ(s.stops, std::vector<std::string>{"x"});
  EXPECT_EQ(s.words, std::vector<std::string>{"the prompt"});
}

TEST(Flags, AfterTwoDashesAllIsPrompt) {
  Sample s;
  ASSERT_TRUE(s.parse({"whale", "--", "--json", "--help"}));
  EXPECT_FALSE(s.json);
  EXPECT_EQ(s.words, (std::vector<std::string>{"--json", "--help"}));
}

TEST(Flags, APromptThatBeginsWithADashAndASpaceIsAPrompt) {
  Sample s;
  ASSERT_TRUE(s.parse({"whale", "- first point"}));
  EXPECT_EQ(s.words, std::vector<std::string>{"- first point"});
}

TEST(Flags, TheLastOfTwoValuesCounts) {
  Sample s;
  ASSERT_TRUE(s.parse({"whale", "--ctx", "10", "--ctx", "20"}));
  EXPECT_EQ(s.ctx, 20);
}

TEST(Flags, WrongLinesAreUsageErrorsThatNameTheCause) {
  struct Case {
    std::vector<std::string> args;
    const char* says;
  };
  const Case cases[] = {
      {{}, "MODEL"},
      {{"whale", "--temprature", "0"}, "did you mean --temperature?"},
      {{"whale", "--frobnicate"}, "unknown flag --frobnicate"},
      {{"whale", "--ctx"}, "--ctx"},
      {{"whale", "--ctx", "many"}, "many"},
      {{"whale", "--ctx", "0"}, "1 to 8192"},
      {{"whale", "--ctx", "99999999999999999999"}, "--ctx"},
      {{"whale", "--temperature", "2.5"}, "--temperature"},
      {{"whale", "--seed", "-1"}, "--seed"},
      {{"whale", "--kv", "q8"}, "--kv"},
      {{"--json"}, "MODEL"},
      {{"--jsno", "whale"}, "did you mean --json?"},
  };
  for (const Case& c : cases) {
    Sample s;
    const auto outcome = s.parse(c.args);
    ASSERT_FALSE(outcome) << c.says;
    EXPECT_EQ(outcome.error().code, ErrorCode::kUsage);
    EXPECT_NE(outcome.error().message.find(c.says), std::string::npos) << outcome.error().message;
  }
}

TEST(Flags, HelpWinsOverAMissingArgumentAndListsEveryFlag) {
  Sample s;
  const auto outcome = s.parse({"--help"});
  ASSERT_TRUE(outcome);
  EXPECT_EQ(*outcome, Flags::Outcome::kHelp);
  const std::string help = s.flags.help();
  for (const char* word : {"MODEL", "[PROMPT...]", "--json", "-c, --ctx", "default 4096", "--stop",
                           "f32|f16", "-v, --verbose", "minke sample whale"}) {
    EXPECT_NE(help.find(word), std::string::npos) << word << "\n" << help;
  }
}

TEST(Flags, EverySamplingParameterIsAFlag) {
  SamplingParams params;
  Flags flags("minke sample", "A sample");
  flags.add_visited(params);
  const std::vector<std::string> args = {"--top-k",
                                         "40",
                                         "--top_p",
                                         "0.5",
                                         "--min-p",
                                         "0.1",
                                         "--temperature",
                                         "0",
                                         "--repetition-window",
                                         "-1",
                                         "--frequency-penalty",
                                         "-0.5"};
  const auto outcome = flags.parse(args);
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_EQ(params.top_k, 40);
  EXPECT_EQ(params.top_p, 0.5);
  EXPECT_EQ(params.min_p, 0.1);
  EXPECT_EQ(params.temperature, 0.0);
  EXPECT_EQ(params.repetition_window, -1);
  EXPECT_EQ(params.frequency_penalty, -0.5);
}

TEST(Flags, AChoiceByPlaceNamesTheNearest) {
  std::string what;
  Flags flags("minke bench", "Measure");
  flags.positional_choice("WHAT", what, {"limits", "decode"}, "what");
  const auto wrong = flags.parse(std::vector<std::string>{"decod"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kUsage);
  EXPECT_NE(wrong.error().message.find("did you mean decode?"), std::string::npos)
      << wrong.error().message;
}

}  // namespace
}  // namespace minke
