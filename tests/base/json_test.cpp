// Goal: what is dumped parses back to the same value, foreign text gives a value or a kUsage within
// its limits, and what comes out is JSON whatever went in. Method: random values in a round trip,
// and texts that RFC 8259 allows or forbids.
#include "minke/base/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "minke/base/random.h"

namespace minke {
namespace {

Json random_value(Random& random, int depth) {
  switch (random.below(depth > 0 ? 7 : 5)) {
    case 0:
      return nullptr;
    case 1:
      return Json(random.below(2) == 1);
    case 2:
      return Json(static_cast<int64_t>(random.next() >> random.below(64)));
    case 3:
      return Json(std::ldexp(random.normal(), static_cast<int>(random.below(600)) - 300));
    case 4: {
      std::string text;
      for (uint64_t i = random.below(8); i-- > 0;) {
        text +=
            std::vector<std::string>{"a",    "\"",   "\\", "\n", "é", "👍", std::string(1, '\0'),
                                     "\x1f", "\x7f", "/"}[random.below(10)];
      }
      return text;
    }
    case 5: {
      Json array = Json::array();
      for (uint64_t i = random.below(4); i-- > 0;) array.push(random_value(random, depth - 1));
      return array;
    }
    default: {
      Json object = Json::object();
      for (uint64_t i = random.below(4); i-- > 0;) {
        object.set("k" + std::to_string(i) + "\"", random_value(random, depth - 1));
      }
      return object;
    }
  }
}

TEST(Json, ADumpedValueParsesBackToItself) {
  Random random(1);
  for (int round = 0; round < 5000; ++round) {
    const Json value = random_value(random, 4);
    for (const int indent : {0, 2}) {
      const auto parsed = parse_json(value.dump(indent));
      ASSERT_TRUE(parsed) << parsed.error().message << " in " << value.dump(indent);
      ASSERT_EQ(*parsed, value) << value.dump();
    }
  }
}

TEST(Json, ExtremeNumbersKeepTheirValueAndKind) {
  const auto parsed = parse_json(
      "[9223372036854775807,-9223372036854775808,18446744073709551615,1.0,-0.0,5e-324,1e2]");
  ASSERT_TRUE(parsed);
  const Json::Array& numbers = parsed->as_array();
  EXPECT_EQ(numbers[0].as_int(), std::numeric_limits<int64_t>::max());
  EXPECT_EQ(numbers[1].as_int(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(numbers[2].as_double(), 18446744073709551615.0);
  EXPECT_TRUE(numbers[3].is_double()) << "1.0 stays a number with a point";
  EXPECT_TRUE(std::signbit(numbers[4].as_double()));
  EXPECT_EQ(numbers[5].as_double(), std::numeric_limits<double>::denorm_min());
  EXPECT_EQ(numbers[6].as_double(), 100.0);
  EXPECT_EQ(Json(1.0).dump(), "1.0");
  EXPECT_EQ(Json(std::nan("")).dump(), "null");
  EXPECT_EQ(Json(HUGE_VAL).dump(), "null");
}

TEST(Json, KeysKeepTheirOrderAndTheLastDuplicateCounts) {
  const auto parsed = parse_json(R"({"z":1,"a":2,"z":3})");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->dump(), R"({"z":3,"a":2})");
  EXPECT_EQ(parsed->find("none"), nullptr);
  EXPECT_EQ(Json(1).find("z"), nullptr);
}

TEST(Json, EscapesBecomeTheirCharacters) {
  const auto parsed = parse_json(R"("\u00e9\ud83d\udc4d\n\/\u0000")");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->as_string(), std::string("é👍\n/\0", 9));
}

TEST(Json, BrokenTextIsAUsageErrorThatNamesTheByte) {
  for (const std::string_view text :
       {"",    " ",        "{",   "[1,]",  "{\"a\":}", "{a:1}",   "'a'",         "01",
        "1.",  "+1",       "nan", "tru",   "[1 2]",    "\"\\x\"", "\"\\ud800\"", "\"a\nb\"",
        "{}x", "\"\xff\"", "\"",  "/**/1", "1e999"}) {
    const auto parsed = parse_json(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kUsage) << text;
    EXPECT_NE(parsed.error().message.find("invalid JSON"), std::string::npos) << text;
  }
}

TEST(Json, MessagesStayShort) {
  for (const std::string& text : {'"' + std::string(100000, 'x'), std::string(100000, 'x'),
                                  "{\"" + std::string(100000, '&') + "\xd9"}) {
    const auto parsed = parse_json(text);
    ASSERT_FALSE(parsed);
    EXPECT_LT(parsed.error().message.size(), 400);
  }
}

TEST(Json, LimitsOnDepthAndSizeHold) {
  const std::string deep = std::string(1000000, '[');
  const auto too_deep = parse_json(deep);
  ASSERT_FALSE(too_deep);
  EXPECT_NE(too_deep.error().message.find("64 levels"), std::string::npos);
  const std::string nested = std::string(64, '[') + std::string(64, ']');
  EXPECT_TRUE(parse_json(nested));
  EXPECT_FALSE(parse_json("[" + nested + "]"));
  EXPECT_FALSE(parse_json("[1,2,3]", {.bytes_max = 6}));
  EXPECT_TRUE(parse_json("[1,2,3]", {.bytes_max = 7}));
}

TEST(Json, ManyKeysKeepTheirOrderAndTheirLastValues) {
  // 200,000 members, each key twice: a scan for each key would take minutes.
  constexpr int kKeys = 100000;
  std::string text = "{";
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < kKeys; ++i) {
      text += "\"k" + std::to_string(i) + "\":" + std::to_string(i + round) + ",";
    }
  }
  text.back() = '}';
  const auto parsed = parse_json(text);
  ASSERT_TRUE(parsed);
  const Json::Object& members = parsed->as_object();
  ASSERT_EQ(members.size(), static_cast<size_t>(kKeys));
  for (int i = 0; i < kKeys; ++i) {
    ASSERT_EQ(members[i].first, "k" + std::to_string(i));
    ASSERT_EQ(members[i].second.as_int(), i + 1);
  }
}

TEST(Json, InvalidUtf8ComesOutRepaired) {
  EXPECT_EQ(Json("a\xff\xe4\xb8z").dump(), "\"a\uFFFD\uFFFDz\"");
  EXPECT_EQ(Json("\x01\x7f").dump(), "\"\\u0001\\u007f\"");
}

TEST(Json, KindsAreNamed) {
  EXPECT_STREQ(Json().kind(), "null");
  EXPECT_STREQ(Json(true).kind(), "boolean");
  EXPECT_STREQ(Json(1).kind(), "integer");
  EXPECT_STREQ(Json(1.5).kind(), "number");
  EXPECT_STREQ(Json("").kind(), "string");
  EXPECT_STREQ(Json::array().kind(), "array");
  EXPECT_STREQ(Json::object().kind(), "object");
}

}  // namespace
}  // namespace minke
