#pragma once
#include <cstdint>
#include <filesystem>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// A file of JSON objects, one a line (JSONL), to which lines are only added: each by one write, so
/// that a killed process leaves whole lines, but perhaps for the last one. While it is open no
/// other process can open it so (flock).
class LineFile {
 public:
  /// Makes the file where there is none. kFailed when another process writes to it.
  static Result<LineFile> open(const std::filesystem::path& path);
  LineFile(LineFile&& other) noexcept;
  LineFile& operator=(LineFile&&) = delete;
  ~LineFile();

  /// kWillNotFit when the disk is full; the file then ends with the line before.
  Result<void> append(const Json& line);
  /// Drops all from the first line on that has a "step" after `last_step`, or is cut short.
  Result<void> cut_after(int64_t last_step);
  /// Puts what was written on the disk.
  Result<void> sync();

 private:
  LineFile(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::filesystem::path path_;
  int fd_ = -1;
};

/// Whether a process has it open as a LineFile.
bool line_file_in_use(const std::filesystem::path& path);

/// The line's "step", or `otherwise` where it has none.
int64_t step_of(const Json& line, int64_t otherwise);

}  // namespace minke
