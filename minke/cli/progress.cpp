#include "minke/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "minke/base/clock.h"

namespace minke {
namespace {

constexpr double kLineSeconds = 10.0;  // between lines where there is no terminal
constexpr double kDrawSeconds = 0.1;
constexpr double kSpeedSeconds = 3.0;  // after which an old speed counts a third
constexpr int kColumnsDefault = 80;
constexpr int kBarMin = 10;
constexpr int kBarMax = 40;

int terminal_columns(std::FILE* stream) {
  struct winsize size {};
  const bool known = ::ioctl(::fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : kColumnsDefault;
}

std::string bar(double share, int width) {
  const int full = static_cast<int>(share * (width - 2));
  const std::string done(static_cast<size_t>(full), '=');
  return fmt::format("[{:<{}}]", full < width - 2 ? done + '>' : done, width - 2);
}

}  // namespace

std::string duration_text(double seconds) {
  constexpr double kSecondsMax = 99 * 3600;
  if (!(seconds >= 0) || seconds > kSecondsMax) return "?";
  const auto whole = static_cast<int64_t>(std::ceil(seconds));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string progress_line(const ByteProgress& progress, int columns) {
  const double total = static_cast<double>(progress.total);
  const double done = std::min(static_cast<double>(progress.done), total);
  const double share = total > 0 ? done / total : 1.0;
  const double left =
      progress.bytes_per_second > 0 ? (total - done) / progress.bytes_per_second : -1;
  const std::string head = fmt::format("{:3.0f} %", std::floor(100 * share));
  const std::string tail =
      fmt::format("{} of {}  {}/s  {} left", bytes_text(done), bytes_text(total),
                  bytes_text(progress.bytes_per_second), duration_text(left));
  const int room = columns - static_cast<int>(head.size() + tail.size()) - 2;
  std::string line = head + " " + tail;
  if (room >= kBarMin) {
    line = fmt::format("{} {} {}", head, bar(share, std::min(room, kBarMax)), tail);
  }
  return line.substr(0, static_cast<size_t>(std::max(columns, 1)));
}

ProgressBar::ProgressBar(const Console& console)
    : console_(console),
      on_terminal_(is_terminal(console.err) && !console.quiet),
      told_at_(seconds_now()) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::clear() {
  if (!drawn_) return;
  fmt::print(console_.err, "\r\x1b[K");
  std::fflush(console_.err);
  drawn_ = false;
}

void ProgressBar::update(uint64_t done, uint64_t total) {
  const double now = seconds_now();
  if (speed_at_ == 0 || done < speed_done_) {  // a start, or one afresh
    speed_at_ = now;
    speed_done_ = done;
  }
  const double passed = now - speed_at_;
  if (passed >= 0.5) {
    const double latest = static_cast<double>(done - speed_done_) / passed;
    const double keep = bytes_per_second_ > 0 ? std::exp(-passed / kSpeedSeconds) : 0.0;
    bytes_per_second_ = keep * bytes_per_second_ + (1 - keep) * latest;
    speed_at_ = now;
    speed_done_ = done;
  }
  if (now - told_at_ < (on_terminal_ ? kDrawSeconds : kLineSeconds)) return;
  told_at_ = now;
  const ByteProgress progress{done, total, bytes_per_second_};
  if (!on_terminal_) {
    console_.note("{}", progress_line(progress, kColumnsDefault + 40));
    return;
  }
  // One column less than there are: some terminals wrap at the last one.
  fmt::print(console_.err, "\r{}\x1b[K",
             progress_line(progress, terminal_columns(console_.err) - 1));
  std::fflush(console_.err);
  drawn_ = true;
}

}  // namespace minke
