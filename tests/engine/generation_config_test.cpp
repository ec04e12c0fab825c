// Goal: what generation_config.json recommends is taken where the user has not said otherwise, and
// nonsense is refused by the field's name.
#include "minke/engine/generation_config.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

constexpr auto nothing_given = [](std::string_view) { return false; };

TEST(GenerationConfig, IsTakenWhereTheUserHasNotSpoken) {
  // As DeepSeek-R1-Distill-Qwen has it, and three fields more.
  constexpr std::string_view kConfig = R"({
    "_from_model_config": true, "bos_token_id": 151646, "eos_token_id": 151643, "do_sample": true,
    "temperature": 0.6, "top_p": 0.95, "top_k": 20, "min_p": null, "repetition_penalty": 1.05,
    "seed": 7, "transformers_version": "4.39.3"})";
  SamplingParams params;
  ASSERT_TRUE(apply_generation_config(kConfig, params, nothing_given));
  EXPECT_EQ(params.temperature, 0.6);
  EXPECT_EQ(params.top_p, 0.95);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_EQ(params.min_p, 0.0);
  EXPECT_EQ(params.repetition_penalty, 1.05);
  EXPECT_EQ(params.seed, 0u);

  SamplingParams own;
  own.temperature = 1.5;
  const auto temperature_given = [](std::string_view name) { return name == "temperature"; };
  ASSERT_TRUE(apply_generation_config(kConfig, own, temperature_given));
  EXPECT_EQ(own.temperature, 1.5);
  EXPECT_EQ(own.top_p, 0.95);

  SamplingParams usual;
  ASSERT_TRUE(apply_generation_config("", usual, nothing_given));
  ASSERT_TRUE(apply_generation_config("{}", usual, nothing_given));
  EXPECT_EQ(usual.temperature, SamplingParams{}.temperature);
}

TEST(GenerationConfig, WhatCannotBeNamesTheField) {
  for (const auto& [text, named] :
       {std::pair<const char*, const char*>{R"({"temperature": "hot"})", "temperature is \"hot\""},
        {R"({"temperature": -1})", "temperature is -1"},
        {R"({"top_k": 2.5})", "top_k is 2.5, expected a whole number"},
        {R"({"top_k": 99999999999})", "top_k is 99999999999"},
        {R"({"top_p": [1]})", "top_p is [1]"},
        {R"({"repetition_penalty": 0})", "repetition_penalty is 0"},
        {"[]", "no JSON object"},
        {"{", "no JSON object"}}) {
    SamplingParams params;
    const auto applied = apply_generation_config(text, params, nothing_given);
    ASSERT_FALSE(applied) << text;
    EXPECT_EQ(applied.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(applied.error().message.find(named), std::string::npos) << applied.error().message;
  }
}

}  // namespace
}  // namespace minke
