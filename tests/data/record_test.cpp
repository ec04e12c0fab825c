// Goal: each format is read as what it is, and bad input is told by what was found and expected.
// Method: a table of lines, good and bad.
#include "minke/data/record.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

Result<Record> read(std::string_view line, const RecordKeys& keys = {}) {
  MK_ASSIGN(const Json object, parse_json(line));
  MK_ASSIGN(const RecordFormat format, detect_format(object, keys));
  return parse_record(object, format, keys);
}

TEST(Record, OfEachFormatIsRecognisedByItsKeys) {
  EXPECT_EQ(read(R"({"text":"a"})")->format, RecordFormat::kText);
  EXPECT_EQ(read(R"({"messages":[{"role":"assistant","content":"a"}],"tools":[1]})")->tools,
            Json(Json::Array{1}));
  const auto prompt = read(R"({"question":"q","answer":"a"})",
                           {.text = "text", .prompt = "question", .completion = "answer"});
  ASSERT_TRUE(prompt);
  EXPECT_EQ(prompt->prompt, Json("q"));
  EXPECT_EQ(prompt->answers[0], Json("a"));
  const auto alpaca = read(R"({"instruction":"do","input":"it","output":"done"})");
  EXPECT_EQ(alpaca->prompt, Json("do\n\nit"));
  EXPECT_EQ(read(R"({"instruction":"do","input":"","output":"done"})")->prompt, Json("do"));
  const auto share = read(R"({"conversations":[{"from":"human","value":"q"},
                              {"from":"gpt","value":"a"}]})");
  ASSERT_TRUE(share) << share.error().message;
  EXPECT_EQ(*share->answers[0].as_array()[1].find("role"), Json("assistant"));
  const auto pair = read(R"({"prompt":"q","chosen":"a","rejected":"b"})");
  EXPECT_EQ(pair->format, RecordFormat::kPairs);
  EXPECT_EQ(pair->answers.size(), 2u);
}

TEST(Record, ThatIsBadSaysWhatWasFound) {
  const std::pair<const char*, const char*> rows[] = {
      {R"([1])", "array, expected an object"},
      {R"({"txt":"a"})", "has the keys txt, expected text"},
      {R"({"text":3})", "\"text\" is integer (3), expected a string"},
      {R"({"text":""})", "\"text\" is empty"},
      {R"({"messages":"hi"})", "\"messages\" is a string"},
      {R"({"messages":[]})", "empty array"},
      {R"({"messages":[3]})", "message 1 is integer"},
      {R"({"messages":[{"role":"user","content":"a"},{"role":"bot","content":"b"}]})",
       "message 2 has role \"bot\", expected system"},
      {R"({"messages":[{"role":"user","content":7}]})", "message 1 (user) has content 7"},
      {R"({"messages":[{"role":"user","content":"a"}]})", "no message of the assistant"},
      {R"({"conversations":[{"from":"alien","value":"a"}]})", "turn 1 is from \"alien\""},
      {R"({"conversations":[{"from":"gpt"}]})", "turn 1 has value (none)"},
      {R"({"prompt":"q","completion":null})", "\"completion\" is null"},
      {R"({"instruction":"a","input":5,"output":"b"})", "\"input\" is integer"},
      {R"({"chosen":"a","rejected":[{"role":"assistant","content":"b"}]})",
       "one answer is a text, the other messages"},
  };
  for (const auto& [line, expected] : rows) {
    const auto record = read(line);
    ASSERT_FALSE(record) << line;
    EXPECT_NE(record.error().message.find(expected), std::string::npos)
        << line << ": " << record.error().message;
  }
}

}  // namespace
}  // namespace minke
