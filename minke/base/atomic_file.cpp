#include "minke/base/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <random>
#include <string_view>
#include <utility>

#include "minke/base/files_error.h"

namespace minke {

namespace fs = std::filesystem;

Result<std::string> make_beside(const fs::path& path,
                                const std::function<bool(const char* name)>& make) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789";
  constexpr int kTriesMax = 100, kNumLetters = 6;
  std::random_device random;
  std::string name;
  for (int i = 0; i < kTriesMax; ++i) {
    name = path.string() + ".";
    for (int k = 0; k < kNumLetters; ++k) name += kLetters[random() % kLetters.size()];
    if (make(name.c_str())) return name;
    if (errno != EEXIST) break;
  }
  return fail_errno("create", name);
}

Result<AtomicFile> AtomicFile::create(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_other(fs::status(path, ignored))) {  // renaming a file over a device would destroy it
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return fail_errno("open", path);
    return AtomicFile(path, "", fd);
  }
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), ignored);
  struct stat old {};
  const bool replaces = ::stat(path.c_str(), &old) == 0 && S_ISREG(old.st_mode);
  int fd = -1;
  MK_ASSIGN(std::string temporary, make_beside(path, [&](const char* name) {
              fd = ::open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, replaces ? 0600 : 0666);
              return fd >= 0;
            }));
  AtomicFile file(path, std::move(temporary), fd);
  constexpr mode_t kPermissions = 0777;
  if (replaces && ::fchmod(fd, old.st_mode & kPermissions) != 0) {
    return fail_errno("set the mode of", file.temporary_);
  }
  return file;
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
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return fail_errno("write", path_);
  temporary_.clear();
  return {};
}

}  // namespace minke
