// Goal: guesses are what followed the same tokens before, and what wrong ones cost is bounded.
// Method: texts whose continuation is known.
#include "minke/engine/prompt_lookup.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

using Tokens = std::vector<int32_t>;

TEST(PromptLookup, guesses_what_followed_the_last_same_three_tokens) {
  PromptLookup lookup;
  EXPECT_EQ(lookup.guess(Tokens{1, 2, 3, 4, 5, 1, 2, 3}, 2), (Tokens{4, 5}));
  EXPECT_EQ(lookup.guess(Tokens{1, 2, 3, 4, 5, 1, 2, 3, 9, 8, 1, 2, 3}, 1), (Tokens{9}));
  EXPECT_EQ(lookup.guess(Tokens{1, 2, 3, 4, 5, 1, 2, 3, 9, 8, 1, 2, 3, 0}, 2), Tokens{});
}

TEST(PromptLookup, guesses_nothing_without_three_tokens_or_room) {
  PromptLookup lookup;
  EXPECT_EQ(lookup.guess(Tokens{}, 2), Tokens{});
  EXPECT_EQ(lookup.guess(Tokens{4, 4}, 2), Tokens{});
  EXPECT_EQ(lookup.guess(Tokens{4, 4, 4}, 2), Tokens{});  // nothing has followed them yet
  EXPECT_EQ(lookup.guess(Tokens{4, 4, 4, 4}, 0), Tokens{});
}

TEST(PromptLookup, goes_on_with_a_text_that_repeats_itself) {
  PromptLookup lookup;
  lookup.learn(0, 4);
  EXPECT_EQ(lookup.guess(Tokens{7, 8, 7, 8, 7}, 5), (Tokens{8, 7, 8, 7, 8}));
  PromptLookup constant;
  constant.learn(0, 4);
  EXPECT_EQ(constant.guess(Tokens{6, 6, 6, 6}, 3), (Tokens{6, 6, 6}));
}

TEST(PromptLookup, guesses_less_than_a_token_in_twenty_steps_where_it_is_always_wrong) {
  PromptLookup lookup;
  const Tokens text = {1, 2, 3, 4, 1, 2, 3};
  int num_guessed = 0;
  constexpr int kSteps = 1000;
  for (int step = 0; step < kSteps; ++step) {
    const auto guessed = static_cast<int>(lookup.guess(text, 3).size());
    lookup.learn(guessed, 0);
    num_guessed += guessed;
  }
  EXPECT_GT(num_guessed, 10);  // it goes on trying
  EXPECT_LT(num_guessed, kSteps / 20);
}

TEST(PromptLookup, guesses_as_many_as_it_may_where_it_is_right) {
  PromptLookup lookup;
  const Tokens text = {1, 2, 3, 4, 5, 6, 7, 1, 2, 3};
  EXPECT_EQ(lookup.guess(text, 4).size(), 2u);  // nothing is known of the text yet
  lookup.learn(2, 2);
  EXPECT_EQ(lookup.guess(text, 4).size(), 4u);
}

}  // namespace
}  // namespace minke
