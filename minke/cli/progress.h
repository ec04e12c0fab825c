#pragma once
#include <cstdint>
#include <string>

#include "minke/cli/console.h"

namespace minke {

/// How far something is that has a number of bytes.
struct ByteProgress {
  uint64_t done = 0;
  uint64_t total = 0;
  double bytes_per_second = 0;
};

/// One line such as " 42 % [=======>          ] 210 MB of 500 MB  12.3 MB/s  0:24 left", at most
/// `columns` wide: the bar shrinks first and is left out below 10 columns, then the rest is cut
/// from its end.
std::string progress_line(const ByteProgress& progress, int columns);

/// "0:24", "12:03", "3:04:59"; "?" when it is not known or more than 99 hours.
std::string duration_text(double seconds);

/// Shows the progress of a transfer on console.err: on a terminal a line that is drawn anew ten
/// times a second, elsewhere a plain line every 10 s; nothing under --quiet.
class ProgressBar {
 public:
  explicit ProgressBar(const Console& console);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(uint64_t done, uint64_t total);
  /// Takes the line off the terminal, so that something else can be written.
  void clear();

 private:
  const Console& console_;
  bool on_terminal_;
  bool drawn_ = false;
  double told_at_;
  // The speed is that of the last seconds: an average with a half-life.
  double speed_at_ = 0;
  uint64_t speed_done_ = 0;
  double bytes_per_second_ = 0;
};

}  // namespace minke
