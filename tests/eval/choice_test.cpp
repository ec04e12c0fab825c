// Goal: a choice is scored by its own tokens after its context, whatever else is in the window.
// Method: a model whose logits are a known function of the token before and its position, with a
// tokenizer of bytes; the sums are worked out by hand.
#include "minke/eval/choice.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "minke/format/gguf.h"
#include "tests/eval/tiny_config.h"
#include "tests/hub/scratch_folder.h"
#include "tests/text/tiny_vocabulary.h"

namespace minke {
namespace {

double logit_of(int32_t token, int32_t position, int32_t next) {
  return 2.0 * std::sin(token * 1.7 + position * 0.3 + next * 2.9);
}

// Counts the rows that it runs, and gives logits only for the rows that are asked for.
class TableModel final : public Model {
 public:
  explicit TableModel(int64_t vocab_size) : Model(tiny_config(vocab_size)) {}
  Tensor forward(const Context& context, const ForwardBatch& batch, Tensor*) const override {
    num_rows += static_cast<int64_t>(batch.tokens.size());
    num_logit_rows += static_cast<int64_t>(batch.logit_rows.size());
    const auto rows = static_cast<int64_t>(batch.logit_rows.size());
    const Tensor logits = context.empty(DType::kF32, {rows, config().vocab_size});
    for (int64_t i = 0; i < rows; ++i) {
      const int32_t row = batch.logit_rows[i];
      for (int32_t next = 0; next < config().vocab_size; ++next) {
        logits.view().row<float>(i)[next] =
            static_cast<float>(logit_of(batch.tokens[row], batch.positions[row], next));
      }
    }
    return logits;
  }
  mutable int64_t num_rows = 0;
  mutable int64_t num_logit_rows = 0;
};

// ln p of the last `count` bytes of `text`, whose first byte has position `offset`.
double expected_score(const std::string& text, size_t count, int64_t vocab_size) {
  double sum = 0.0;
  for (size_t i = text.size() - count; i < text.size(); ++i) {
    const auto byte = [&](size_t at) {
      return static_cast<int32_t>(static_cast<uint8_t>(text[at]));
    };
    double total = 0.0;
    for (int32_t next = 0; next < vocab_size; ++next) {
      total += std::exp(logit_of(byte(i - 1), static_cast<int32_t>(i) - 1, next));
    }
    sum += logit_of(byte(i - 1), static_cast<int32_t>(i) - 1, byte(i)) - std::log(total);
  }
  return sum;
}

class ChoiceTest : public testing::Test {
 protected:
  ChoiceTest()
      : device_(2, false, CpuLevel::kRef), tokenizer_(tokenizer_of(TinyVocabulary()).value()) {}

  ChoiceScore score(const std::vector<ChoiceQuestion>& questions, int window) {
    auto scorer = Scorer::create(device_, model_, DType::kF32, window);
    EXPECT_TRUE(scorer);
    auto result = score_choices(tokenizer_, questions, *scorer, window);
    EXPECT_TRUE(result) << result.error().message;
    return result.value_or(ChoiceScore{});
  }

  Device device_;
  Tokenizer tokenizer_;
  TableModel model_{256};
};

TEST_F(ChoiceTest, TakesTheLikeliestContinuationByItsOwnTokens) {
  std::vector<ChoiceQuestion> questions;
  int64_t correct = 0, correct_normalized = 0;
  for (int i = 0; i < 40; ++i) {
    const std::string context = "Context " + std::string(i % 7, 'x') + "?";
    const std::vector<std::string> choices = {" yes", " no" + std::string(i % 5, '!'), " perhaps"};
    std::vector<double> sums, normalized;
    for (const std::string& choice : choices) {
      sums.push_back(expected_score(context + choice, choice.size(), 256));
      normalized.push_back(sums.back() / static_cast<double>(choice.size()));
    }
    const auto best = [](const std::vector<double>& v) {
      return std::max_element(v.begin(), v.end()) - v.begin();
    };
    questions.push_back({context, choices, i % 3});
    correct += best(sums) == i % 3;
    correct_normalized += best(normalized) == i % 3;
  }
  const ChoiceScore result = score(questions, 64);
  EXPECT_EQ(result.questions, 40);
  EXPECT_EQ(result.correct, correct);
  EXPECT_EQ(result.correct_normalized, correct_normalized);
  EXPECT_NE(correct, correct_normalized) << "the test cannot tell the two apart";
  EXPECT_EQ(result.cut, 0);
}

TEST_F(ChoiceTest, TheContextIsRunOnceForAllChoicesAndItsHeadNever) {
  const std::string context(300, 'c');
  score({{context, {"one", "two", "six"}, 0}}, 400);
  // 302 rows for the first; the others share the context, of which the last row predicts.
  EXPECT_EQ(model_.num_rows, 302 + 3 + 3);
  // A row of each of the two chunks that only fill the cache has to be asked for.
  EXPECT_EQ(model_.num_logit_rows, 2 + 3 * 3);
}

TEST_F(ChoiceTest, ALongContextLosesItsBeginning) {
  const std::string context(100, 'c');
  EXPECT_EQ(score({{context, {"one", "two"}, 0}}, 32).cut, 2);
}

TEST_F(ChoiceTest, WhatCannotBeScoredIsAnError) {
  auto scorer = Scorer::create(device_, model_, DType::kF32, 8);
  ASSERT_TRUE(scorer);
  for (const ChoiceQuestion& question :
       {ChoiceQuestion{"c", {"longer than it", "b"}, 0}, ChoiceQuestion{"", {"a", "b"}, 0}}) {
    const auto result = score_choices(tokenizer_, {&question, 1}, *scorer, 8);
    ASSERT_FALSE(result) << "no room, or nothing before it";
    EXPECT_EQ(result.error().code, ErrorCode::kUsage);
  }
}

TEST(ScorerTest, ScoreFromGivesTheEndOfScoreAndSeesChangedWeights) {
  const Device device(1, false, CpuLevel::kRef);
  TableModel model(256);
  auto scorer = Scorer::create(device, model, DType::kF32, 200);
  ASSERT_TRUE(scorer);
  std::vector<int32_t> ids(180);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 37 % 256);
  const std::string text(ids.begin(), ids.end());
  const auto tail = scorer->score_from(ids, 150);
  ASSERT_TRUE(tail);
  ASSERT_EQ(tail->size(), 30u);
  double sum = 0.0;
  for (const double log_prob : *tail) sum += log_prob;
  EXPECT_NEAR(sum, expected_score(text, 30, 256), 1e-4);
  model.num_rows = 0;
  ASSERT_TRUE(scorer->score_from(ids, 179));
  EXPECT_EQ(model.num_rows, 1);
  model.parameters().changed();
  ASSERT_TRUE(scorer->score_from(ids, 179));
  EXPECT_EQ(model.num_rows, 1 + 179);
}

TEST(ChoiceQuestionsTest, AreReadFromLinesAndBadOnesAreToldByTheirLine) {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "task.jsonl";
  const auto read = [&](const std::string& text) {
    std::ofstream(path) << text;
    return read_choice_questions(path);
  };
  const std::string good = R"({"context": "a", "choices": [" b", " c"], "answer": 1, "id": 7})";
  const auto questions = read(good + "\r\n\n" + good);
  ASSERT_TRUE(questions) << questions.error().message;
  ASSERT_EQ(questions->size(), 2u);
  EXPECT_EQ((*questions)[1].choices[1], " c");
  EXPECT_EQ((*questions)[1].answer, 1);
  for (const char* bad : {"{", "[]", R"({"choices": ["a", "b"], "answer": 0})",
                          R"({"context": "a", "choices": ["b"], "answer": 0})",
                          R"({"context": "a", "choices": ["b", ""], "answer": 0})",
                          R"({"context": "a", "choices": ["b", 3], "answer": 0})",
                          R"({"context": "a", "choices": ["b", "c"], "answer": 2})",
                          R"({"context": "a", "choices": ["b", "c"], "answer": "c"})"}) {
    const auto refused = read(good + "\n" + bad + "\n");
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
    EXPECT_NE(refused.error().message.find("task.jsonl:2: "), std::string::npos)
        << refused.error().message;
  }
  EXPECT_FALSE(read(" \n"));
  EXPECT_EQ(read_choice_questions(scratch.path() / "none").error().code, ErrorCode::kNotFound);
}

TEST(ChoiceScoreTest, TheIntervalIsWilsons) {
  const ChoiceScore score{.questions = 100, .correct = 30};
  EXPECT_NEAR(score.interval(), (0.3957 - 0.2189) / 2, 1e-3);
  EXPECT_EQ(ChoiceScore{}.interval(), 0.0);
}

}  // namespace
}  // namespace minke
