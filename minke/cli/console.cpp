#include "minke/cli/console.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

namespace minke {

void Console::print_json(const Json& document) const { print("{}\n", document.dump(2)); }

std::string Console::painted(std::string_view text, std::string_view sgr) const {
  return color ? fmt::format("\x1b[{}m{}\x1b[0m", sgr, text) : std::string(text);
}

bool is_terminal(std::FILE* stream) { return ::isatty(::fileno(stream)) == 1; }

bool color_wanted(std::FILE* stream) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && no_color[0] != '\0') return false;
  const char* term = std::getenv("TERM");
  if (term == nullptr || std::strcmp(term, "dumb") == 0) return false;
  return is_terminal(stream);
}

Result<std::string> read_stream(std::FILE* stream, size_t bytes_max) {
  std::string content;
  std::array<char, 65536> chunk;
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), stream)) {
    content.append(chunk.data(), got);
    if (content.size() > bytes_max) {
      return fail(ErrorCode::kWillNotFit, "the input is larger than the limit of {}",
                  bytes_text(static_cast<double>(bytes_max)));
    }
  }
  if (std::ferror(stream) != 0) return fail(ErrorCode::kFailed, "cannot read the standard input");
  return content;
}

bool read_line(std::FILE* stream, std::string& line) {
  line.clear();
  int c = 0;
  while ((c = std::getc(stream)) != EOF && c != '\n') line.push_back(static_cast<char>(c));
  return c == '\n' || !line.empty();
}

Json json_texts(const std::vector<std::string>& texts) {
  return Json(Json::Array(texts.begin(), texts.end()));
}

std::string bytes_text(double bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 999.5 && unit + 1 < kUnits.size()) {
    bytes /= 1000.0;
    ++unit;
  }
  if (unit == 0) return fmt::format("{:.0f} B", bytes);
  return fmt::format("{:.{}f} {}", bytes, bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0, kUnits[unit]);
}

}  // namespace minke
