#include "minke/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <utility>

#include "minke/base/files_error.h"

namespace minke {

namespace fs = std::filesystem;

Result<AtomicFile> AtomicFile::create(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_other(fs::status(path, ignored))) {  // renaming a file over a device would destroy it
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno("open", path);
    return AtomicFile(path, "", fd);
  }
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), ignored);
  std::string temporary = path.string() + ".XXXXXX";
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return fail_errno("create", temporary);
  return AtomicFile(path, std::move(temporary), fd);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> AtomicFile::reserve(uint64_t bytes) {
  if (temporary_.empty() || bytes == 0) return {};
  if (::fallocate(fd_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) return {};
  // Many file systems cannot reserve; then writing finds out.
  return errno == ENOSPC ? fail_errno("make room for", path_) : Result<void>{};
}

Result<void> AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("write", path_);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return {};
}

Result<void> AtomicFile::commit() {
  if (::fsync(fd_) != 0 && errno != EINVAL) return fail_errno("sync", path_);  // EINVAL: a pipe
  if (temporary_.empty()) return {};
  if (::fchmod(fd_, 0644) != 0) return fail_errno("set the mode of", temporary_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return fail_errno("write", path_);
  temporary_.clear();
  return {};
}

}  // namespace minke
