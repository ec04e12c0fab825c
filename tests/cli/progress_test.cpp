// Goal: a progress line fits every terminal and never divides by nothing.
#include "minke/cli/progress.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

TEST(Progress, TheLineFitsEveryWidth) {
  const ByteProgress progress{210'000'000, 500'000'000, 12'300'000};
  for (int columns = 1; columns <= 200; ++columns) {
    EXPECT_LE(progress_line(progress, columns).size(), static_cast<size_t>(columns));
  }
  EXPECT_EQ(progress_line(progress, 80),
            " 42 % [=============>                   ] 210 MB of 500 MB  12.3 MB/s  0:24 left");
}

TEST(Progress, NothingAndAllHaveALine) {
  EXPECT_NE(progress_line({0, 0, 0}, 80).find("100 %"), std::string::npos);
  EXPECT_NE(progress_line({0, 10, 0}, 80).find("? left"), std::string::npos);
  EXPECT_NE(progress_line({20, 10, 5}, 80).find("100 %"), std::string::npos);
}

TEST(Progress, DurationsAreForPeople) {
  EXPECT_EQ(duration_text(0), "0:00");
  EXPECT_EQ(duration_text(59.2), "1:00");
  EXPECT_EQ(duration_text(723), "12:03");
  EXPECT_EQ(duration_text(11099), "3:04:59");
  EXPECT_EQ(duration_text(-1), "?");
  EXPECT_EQ(duration_text(1e12), "?");
  EXPECT_EQ(duration_text(0.0 / 0.0), "?");
}

}  // namespace
}  // namespace minke
