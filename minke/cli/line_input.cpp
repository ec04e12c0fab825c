#include "minke/cli/line_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdlib>

#if defined(MINKE_HAVE_LIBEDIT) && __has_include(<editline/readline.h>)
#include <editline/readline.h>
#define MINKE_LINE_EDITING 1
#endif

namespace minke {
namespace {

#ifdef MINKE_LINE_EDITING
constexpr int kHistoryMax = 1000;

// Makes sure that the file is there and that nobody else may read what was said.
bool make_private_file(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::create_directories(path.parent_path(), ignored);
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool is_private = ::fchmod(fd, 0600) == 0;
  ::close(fd);
  return is_private;
}
#endif

bool ends_with_backslash(const std::string& line) { return !line.empty() && line.back() == '\\'; }

}  // namespace

LineInput::LineInput(const Console& console, std::filesystem::path history)
    : console_(&console), history_(std::move(history)), on_terminal_(is_terminal(console.in)) {
#ifdef MINKE_LINE_EDITING
  if (!on_terminal_) return;
  std::setlocale(LC_CTYPE, "");  // libedit reads characters in the terminal's encoding
  rl_initialize();
  using_history();
  stifle_history(kHistoryMax);
  if (!history_.empty() && make_private_file(history_)) read_history(history_.c_str());
#endif
}

LineInput::~LineInput() {
#ifdef MINKE_LINE_EDITING
  if (on_terminal_ && !history_.empty() && make_private_file(history_)) {
    write_history(history_.c_str());
    ::chmod(history_.c_str(), 0600);
  }
#endif
}

void LineInput::remember([[maybe_unused]] const std::string& line) {
#ifdef MINKE_LINE_EDITING
  if (on_terminal_ && !line.empty()) add_history(line.c_str());
#endif
}

LineInput::Got LineInput::read(const std::string& prompt, std::string& line) {
#ifdef MINKE_LINE_EDITING
  if (on_terminal_) {
    errno = 0;
    char* text = ::readline(prompt.c_str());
    if (text == nullptr) return errno == EINTR ? Got::kInterrupted : Got::kEnd;
    line = text;
    std::free(text);
    remember(line);
    return Got::kLine;
  }
#endif
  if (on_terminal_) {
    fmt::print(console_->err, "{}", prompt);
    std::fflush(console_->err);
  }
  errno = 0;
  if (read_line(console_->in, line)) return Got::kLine;
  const bool interrupted = std::ferror(console_->in) != 0 && errno == EINTR;
  std::clearerr(console_->in);
  return interrupted ? Got::kInterrupted : Got::kEnd;
}

LineInput::Got LineInput::read_message(const std::string& prompt, std::string& message) {
  constexpr std::string_view kQuotes = "\"\"\"";
  constexpr const char* kMore = "... ";
  std::string line;
  Got got = read(prompt, line);
  message = line;
  if (got != Got::kLine) return got;
  if (line.starts_with(kQuotes)) {
    message = line.substr(kQuotes.size());
    size_t end = message.find(kQuotes);
    while (end == std::string::npos) {
      got = read(kMore, line);
      if (got != Got::kLine) return got;
      const size_t at = message.size() + 1;
      message += "\n" + line;
      end = message.find(kQuotes, at);
    }
    message.resize(end);
    if (message.starts_with("\n")) message.erase(0, 1);
    if (message.ends_with("\n")) message.pop_back();
    return Got::kLine;
  }
  while (ends_with_backslash(message)) {
    message.back() = '\n';
    got = read(kMore, line);
    if (got == Got::kInterrupted) return got;
    if (got == Got::kEnd) break;
    message += line;
  }
  return Got::kLine;
}

}  // namespace minke
