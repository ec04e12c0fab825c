#include "minke/runs/line_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "minke/base/files.h"
#include "minke/base/files_error.h"

namespace minke {

Result<LineFile> LineFile::open(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) return fail_errno("open", path);
  LineFile file(path, fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return file;
  if (errno != EWOULDBLOCK) return fail_errno("lock", path);
  return fail(ErrorCode::kFailed, "another process is writing to {}: wait for it or stop it",
              path.string());
}

LineFile::LineFile(LineFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

LineFile::~LineFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> LineFile::append(const Json& line) {
  const std::string text = line.dump() + "\n";
  struct stat before {};
  if (::fstat(fd_, &before) != 0) return fail_errno("read", path_);
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t written = ::write(fd_, text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      auto error = fail_errno("write", path_);
      // Part of a line would join the next one. If even this fails, readers skip the line.
      if (done > 0 && ::ftruncate(fd_, before.st_size) != 0) return error;
      return error;
    }
    done += static_cast<size_t>(written);
  }
  return {};
}

Result<void> LineFile::cut_after(int64_t last_step) {
  MK_ASSIGN(const std::string text, read_file(path_));
  size_t kept = 0;
  while (kept < text.size()) {
    const size_t end = text.find('\n', kept);
    if (end == std::string::npos) break;
    const Result<Json> line = parse_json(std::string_view(text).substr(kept, end - kept));
    if (!line || step_of(*line, last_step) > last_step) break;
    kept = end + 1;
  }
  if (::ftruncate(fd_, static_cast<off_t>(kept)) != 0) return fail_errno("cut", path_);
  return {};
}

Result<void> LineFile::sync() {
  return ::fdatasync(fd_) == 0 ? Result<void>{} : fail_errno("sync", path_);
}

bool line_file_in_use(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool in_use = ::flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return in_use;
}

int64_t step_of(const Json& line, int64_t otherwise) {
  const Json* step = line.find("step");
  return step != nullptr && step->is_int() ? step->as_int() : otherwise;
}

}  // namespace minke
