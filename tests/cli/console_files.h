#pragma once
#include <cstdio>
#include <string>

#include "minke/cli/console.h"

namespace minke {

/// A console on temporary files, so that a test can give input and read what was written.
class ConsoleFiles {
 public:
  explicit ConsoleFiles(const std::string& input = "") {
    std::fwrite(input.data(), 1, input.size(), console_.in);
    std::rewind(console_.in);
  }
  ~ConsoleFiles() {
    for (std::FILE* file : {console_.in, console_.out, console_.err}) std::fclose(file);
  }
  ConsoleFiles(const ConsoleFiles&) = delete;
  ConsoleFiles& operator=(const ConsoleFiles&) = delete;

  Console& console() { return console_; }
  std::string out() const { return content(console_.out); }
  std::string err() const { return content(console_.err); }

 private:
  static std::string content(std::FILE* file) {
    std::fflush(file);
    std::rewind(file);
    std::string text = read_stream(file).value();
    std::fseek(file, 0, SEEK_END);
    return text;
  }

  Console console_{.in = std::tmpfile(), .out = std::tmpfile(), .err = std::tmpfile()};
};

}  // namespace minke
