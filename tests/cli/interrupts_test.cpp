// Goal: Ctrl-C and SIGTERM are told apart, and colours are off where nobody wants them.
#include "minke/cli/interrupts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "minke/cli/console.h"

namespace minke {
namespace {

TEST(Interrupts, CountSignalsAndRememberSigtermAfterTheirEnd) {
  {
    const Interrupts interrupts;
    EXPECT_EQ(interrupts.count(), 0);
    ::raise(SIGINT);
    EXPECT_EQ(interrupts.count(), 1);
    EXPECT_FALSE(interrupts.terminated());
  }
  EXPECT_FALSE(Interrupts::last_was_terminated());
  {
    const Interrupts interrupts;
    ::raise(SIGTERM);
    EXPECT_TRUE(interrupts.terminated());
  }
  EXPECT_TRUE(Interrupts::last_was_terminated());
  { const Interrupts interrupts; }
  EXPECT_FALSE(Interrupts::last_was_terminated());
}

TEST(Colours, NeedATerminalThatHasThemAndNoNoColor) {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || ::grantpt(terminal) != 0 || ::unlockpt(terminal) != 0) {
    GTEST_SKIP() << "no pseudo terminal here";
  }
  std::FILE* const stream = std::fopen(::ptsname(terminal), "w");
  ASSERT_NE(stream, nullptr);
  ::unsetenv("NO_COLOR");
  ::setenv("TERM", "xterm", 1);
  EXPECT_TRUE(color_wanted(stream));
  ::setenv("TERM", "dumb", 1);
  EXPECT_FALSE(color_wanted(stream));
  ::unsetenv("TERM");
  EXPECT_FALSE(color_wanted(stream));
  ::setenv("TERM", "xterm", 1);
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(color_wanted(stream));
  ::setenv("NO_COLOR", "", 1);
  EXPECT_TRUE(color_wanted(stream));
  std::FILE* const file = std::tmpfile();
  EXPECT_FALSE(color_wanted(file));
  std::fclose(file);
  std::fclose(stream);
  ::close(terminal);
}

}  // namespace
}  // namespace minke
