// Goal: a typing error finds its name, an unrelated word finds none.
#include "minke/base/nearest_name.h"

#include <gtest/gtest.h>

#include <vector>

namespace minke {
namespace {

TEST(NearestName, FindsTheNameBehindATypingError) {
  const std::vector<std::string> names = {"--temperature", "--top-k", "--top-p", "smollm2-135m"};
  struct Case {
    const char* wanted;
    const char* expected;
  };
  const Case cases[] = {
      {"--temprature", "--temperature"},  // a letter left out
      {"--tpo-k", "--top-k"},             // two swapped
      {"smolm2-135m", "smollm2-135m"},
      {"smollm2", "smollm2-135m"},  // shortened
      {"--frequency", ""},
      {"", ""},
      {"x", ""},
  };
  for (const Case& c : cases) EXPECT_EQ(nearest_name(c.wanted, names), c.expected) << c.wanted;
}

TEST(NearestName, TheNearerOfTwoWins) {
  const std::vector<std::string> names = {"bench", "batch"};
  EXPECT_EQ(nearest_name("bencj", names), "bench");
  EXPECT_EQ(nearest_name("batcj", names), "batch");
}

TEST(NearestName, EndlessInputIsRefusedAtOnce) {
  const std::vector<std::string> names = {std::string(1 << 20, 'a')};
  EXPECT_EQ(nearest_name(std::string((1 << 20) - 1, 'a'), names), "");
}

}  // namespace
}  // namespace minke
