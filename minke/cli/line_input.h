#pragma once
#include <filesystem>
#include <string>

#include "minke/cli/console.h"

namespace minke {

/// Lines from the user: edited with libedit on a terminal (arrows, Ctrl-R, history in a file with
/// mode 0600), plain ones from a pipe or where minke was built without libedit.
class LineInput {
 public:
  enum class Got { kLine, kEnd, kInterrupted };

  /// `history` may be empty: then no line is kept.
  LineInput(const Console& console, std::filesystem::path history);
  ~LineInput();
  LineInput(const LineInput&) = delete;
  LineInput& operator=(const LineInput&) = delete;

  /// The next line. A prompt is shown only on a terminal.
  Got read(const std::string& prompt, std::string& line);
  /// A whole message: a line; or lines while each ends with a backslash; or what stands between two
  /// """, over several lines.
  Got read_message(const std::string& prompt, std::string& message);
  bool on_terminal() const { return on_terminal_; }

 private:
  void remember(const std::string& line);

  const Console* console_;
  std::filesystem::path history_;
  bool on_terminal_;
};

}  // namespace minke
