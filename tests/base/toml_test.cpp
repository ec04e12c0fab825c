// Goal: TOML documents become JSON in their own order, and errors name the line. Method: documents
// with every kind of value, and broken ones.
#include "minke/base/toml.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace minke {
namespace {

TEST(Toml, KeepsKindsAndTheOrderOfTheDocument) {
  const Result<Json> parsed = parse_toml(
      "steps = 200\nlr = 1e-3\nname = \"a b\"\nbest = true\nlist = [1, 2.5]\n"
      "day = 2026-11-24\n[model]\nwidth = 128\n",
      "r.toml");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->dump(), R"({"steps":200,"lr":0.001,"name":"a b","best":true,"list":[1,2.5],)"
                            R"("day":"2026-11-24","model":{"width":128}})");
}

TEST(Toml, TellsTheLinesOfKeys) {
  std::vector<std::string> lines;
  const Result<Json> parsed = parse_toml(
      "# recipe\nb = 1\n\na = 2\n[model]\nc = 3\n", "r.toml", [&](std::string_view key, int line) {
        lines.push_back(std::string(key) + ":" + std::to_string(line));
      });
  ASSERT_TRUE(parsed);
  EXPECT_EQ(lines, (std::vector<std::string>{"b:2", "a:4", "model:5", "model.c:6"}));
}

TEST(Toml, SaysWhereADocumentIsBroken) {
  for (const char* text : {"a = 1\nb = \n", "a = 1\na = 2\n", "a = 1\n[b\n", "x = 1\n= 3\n"}) {
    const Result<Json> parsed = parse_toml(text, "r.toml");
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kUsage);
    EXPECT_TRUE(parsed.error().message.starts_with("r.toml:2: no TOML: "))
        << parsed.error().message;
  }
}

}  // namespace
}  // namespace minke
