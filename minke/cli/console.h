#pragma once
#include <fmt/core.h>

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// Where a command reads and writes. Data goes to `out`, everything else to `err`, so that a reply
/// or a report can be piped. Tests give files of their own.
struct Console {
  std::FILE* in = stdin;
  std::FILE* out = stdout;
  std::FILE* err = stderr;
  bool quiet = false;  ///< no notes on `err`; errors are still told
  int verbosity = 0;   ///< how many -v were given
  bool color = false;  ///< escape codes are wanted on `err` (and on `out` where that is a terminal)

  template <class... Args>
  void print(fmt::format_string<Args...> format, Args&&... args) const {
    fmt::print(out, format, std::forward<Args>(args)...);
  }
  /// A line for the reader, not for a pipe: silent under --quiet.
  template <class... Args>
  void note(fmt::format_string<Args...> format, Args&&... args) const {
    if (!quiet) fmt::print(err, "{}\n", fmt::format(format, std::forward<Args>(args)...));
  }
  /// One JSON document on `out`, indented, with a line break after it.
  void print_json(const Json& document) const;
  /// `text` in the colour of an SGR code ("2" is grey), or plain when colour is off.
  std::string painted(std::string_view text, std::string_view sgr) const;
};

/// True when the stream is a terminal.
bool is_terminal(std::FILE* stream);

/// Whether colours are wanted by default: `stream` is a terminal, NO_COLOR is unset or empty and
/// TERM is not "dumb".
bool color_wanted(std::FILE* stream);

/// Everything that is left in the stream; kWillNotFit beyond `bytes_max`.
Result<std::string> read_stream(std::FILE* stream, size_t bytes_max = size_t{64} << 20);

/// The next line without its end, or false at the end of the stream.
bool read_line(std::FILE* stream, std::string& line);

/// The texts as an array of JSON.
Json json_texts(const std::vector<std::string>& texts);

/// "98.4 MB": decimal units with three digits, for people.
std::string bytes_text(double bytes);

}  // namespace minke
