// Goal: what is learned is what the model will write when it is served, and nothing else. Method: a
// vocabulary of bytes, so that ids are the text; two chat templates.
#include "minke/data/example_encoder.h"

#include <gtest/gtest.h>

#include "minke/text/tokenizer.h"
#include "tests/data/data_tokenizer.h"

namespace minke {
namespace {

using test::data_tokenizer;

// The text with what is learned in brackets.
std::string shown(const Tokenizer& tokenizer, const TokenDocument& document) {
  std::string out;
  bool learned = false;
  for (size_t i = 0; i < document.ids.size(); ++i) {
    const bool now = document.loss.empty() || document.loss[i];
    if (now != learned) out += now ? "[" : "]";
    learned = now;
    out += tokenizer.token_bytes(document.ids[i]);
  }
  return out + (learned ? "]" : "");
}

std::vector<std::string> encoded(const Tokenizer& tokenizer, std::string_view line,
                                 const EncoderOptions& options) {
  const auto encoder = ExampleEncoder::create(tokenizer, options);
  const Json object = *parse_json(line);
  const auto record = parse_record(object, *detect_format(object, {}), {});
  const auto documents = encoder->encode(*record);
  if (!documents) return {"error: " + documents.error().message};
  std::vector<std::string> out;
  for (const TokenDocument& document : *documents) out.push_back(shown(tokenizer, document));
  return out;
}

TEST(ExampleEncoder, LearnsTheAssistantsTurnsOnly) {
  const Tokenizer tokenizer = data_tokenizer();
  EXPECT_EQ(encoded(tokenizer, R"({"messages":[{"role":"system","content":"s"},
      {"role":"user","content":"q"},{"role":"assistant","content":"a"},
      {"role":"user","content":"r"},{"role":"assistant","content":"b"}]})",
                    {})[0],
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
            "<|im_start|>assistant\n[a<|im_end|>]\n<|im_start|>user\nr<|im_end|>\n"
            "<|im_start|>assistant\n[b<|im_end|>]\n");
}

TEST(ExampleEncoder, TakesNoControlTokenFromAMessage) {
  const Tokenizer tokenizer = data_tokenizer();
  const auto encoder = ExampleEncoder::create(tokenizer, {});
  const Json object = *parse_json(R"({"messages":[{"role":"user","content":"<|im_end|>"},
      {"role":"assistant","content":"x<|im_end|>y"}]})");
  const auto documents = encoder->encode(*parse_record(object, RecordFormat::kMessages, {}));
  ASSERT_TRUE(documents);
  const TokenDocument& document = documents->front();
  EXPECT_EQ(std::ranges::count(document.ids, 257), 2);
  // x, ten bytes of text, y and the turn's end are learned.
  EXPECT_EQ(std::ranges::count(document.loss, true), 13);
  EXPECT_EQ(document.text_bytes, 12);
}

TEST(ExampleEncoder, LearnsOfPromptsInMessagesTheCompletionOnly) {
  const Tokenizer tokenizer = data_tokenizer();
  EXPECT_EQ(encoded(tokenizer, R"({"prompt":[{"role":"user","content":"q"},
      {"role":"assistant","content":"a"},{"role":"user","content":"r"}],
      "completion":[{"role":"assistant","content":"b"}]})",
                    {})[0],
            "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n"
            "<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>]\n");
}

TEST(ExampleEncoder, FindsAnswersOfTemplatesThatLeaveThoughtsOut) {
  const Tokenizer tokenizer = data_tokenizer(test::kReasoning);
  EXPECT_EQ(encoded(tokenizer, R"({"messages":[{"role":"user","content":"q"},
      {"role":"assistant","content":"<think>hm</think>a"},
      {"role":"user","content":"r"},{"role":"assistant","content":"b"}]})",
                    {})[0],
            "<|im_start|>user\nq<|im_start|>assistant\n[a<|im_end|>]<|im_start|>user\nr"
            "<|im_start|>assistant\n[b<|im_end|>]");
}

TEST(ExampleEncoder, RefusesATemplateWhosePrefixesDiffer) {
  const Tokenizer tokenizer =
      data_tokenizer("{{ messages|length }}{% for m in messages %}{{ m.content }}{% endfor %}");
  const std::string error = encoded(tokenizer, R"({"messages":[{"role":"user","content":"q"},
      {"role":"assistant","content":"a"}]})",
                                    {})[0];
  EXPECT_NE(error.find("loss mask cannot be told"), std::string::npos) << error;
}

TEST(ExampleEncoder, JoinsPlainPromptsAndAnswers) {
  const Tokenizer tokenizer = data_tokenizer("");
  const char* const line = R"({"prompt":"q","completion":"a"})";
  EXPECT_EQ(encoded(tokenizer, line, {})[0], "q\n[a<|im_end|>]");
  EXPECT_EQ(encoded(tokenizer, line, {.separator = "", .append_eos = false})[0], "q[a]");
  EXPECT_EQ(encoded(tokenizer, R"({"chosen":"good","rejected":"bad"})", {}),
            (std::vector<std::string>{"[good<|im_end|>]", "[bad<|im_end|>]"}));
  const auto with_chat = ExampleEncoder::create(tokenizer, {.chat = true});
  ASSERT_FALSE(with_chat);
  EXPECT_EQ(with_chat.error().code, ErrorCode::kUsage);
}

TEST(ExampleEncoder, LearnsOfPairsWhatDiffers) {
  const Tokenizer tokenizer = data_tokenizer();
  EXPECT_EQ(encoded(tokenizer, R"({"chosen":[{"role":"user","content":"q"},
      {"role":"assistant","content":"a"}],"rejected":[{"role":"user","content":"q"},
      {"role":"assistant","content":"b"}]})",
                    {}),
            (std::vector<std::string>{
                "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>]\n",
                "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>]\n"}));
}

TEST(ExampleEncoder, FillsInMiddlesAtTheRateAndLosesNothing) {
  const Tokenizer tokenizer = data_tokenizer();
  const auto encoder = ExampleEncoder::create(tokenizer, {.fim_rate = 0.5, .seed = 4});
  ASSERT_TRUE(encoder);
  int num_filled = 0;
  for (int i = 0; i < 400; ++i) {
    const std::string text = fmt::format("text ü number {}, with an end", i);
    const auto document = encoder->encode_text(text, {});
    ASSERT_TRUE(document);
    const auto find = [&](int32_t id) { return std::ranges::find(document->ids, id); };
    std::string restored;
    if (find(258) != document->ids.end()) {
      ++num_filled;
      const auto begin = document->ids.begin();
      const std::vector<int32_t> prefix(begin + 1, find(259));
      const std::vector<int32_t> suffix(find(259) + 1, find(260));
      const std::vector<int32_t> middle(find(260) + 1, document->ids.end() - 1);
      for (const auto* part : {&prefix, &middle, &suffix}) restored += tokenizer.decode(*part);
    } else {
      restored = tokenizer.decode(std::span(document->ids).first(document->ids.size() - 1));
    }
    EXPECT_EQ(restored, text);
    EXPECT_EQ(document->ids.back(), 257);
  }
  EXPECT_NEAR(num_filled, 200, 50);  // five standard deviations
}

}  // namespace
}  // namespace minke
