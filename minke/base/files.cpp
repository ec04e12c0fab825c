#include "minke/base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "minke/base/atomic_file.h"
#include "minke/base/check.h"
#include "minke/base/files_error.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

struct FileDescriptor {
  int fd = -1;
  ~FileDescriptor() {
    if (fd >= 0) ::close(fd);
  }
};

fs::path environment_path(const char* name, const fs::path& fallback) {
  const char* value = std::getenv(name);
  return value != nullptr && value[0] != '\0' ? fs::path(value) : fallback;
}

int64_t nanoseconds(const struct timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

FileStamp stamp_of(const struct stat& info) {
  return {static_cast<uint64_t>(info.st_size), nanoseconds(info.st_mtim),
          nanoseconds(info.st_ctim)};
}

size_t page_bytes() {
  static const size_t bytes = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

tl::unexpected<Error> fail_errno(const char* action, const fs::path& path) {
  const int code = errno;
  const bool is_full = code == ENOSPC || code == EDQUOT || code == EFBIG;
  return fail(is_full          ? ErrorCode::kWillNotFit
              : code == ENOENT ? ErrorCode::kNotFound
                               : ErrorCode::kFailed,
              "cannot {} {}: {}", action, path.string(), std::strerror(code));
}

Result<FileStamp> file_stamp(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return fail_errno("read", path);
  return stamp_of(info);
}

Result<MappedFile> MappedFile::open(const fs::path& path) {
  FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return fail_errno("open", path);
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) return fail_errno("read", path);
  if (!S_ISREG(info.st_mode)) {
    return fail(ErrorCode::kFailed, "cannot open {}: it is not a regular file", path.string());
  }
  MappedFile mapped;
  mapped.path_ = path;
  mapped.stamp_ = stamp_of(info);
  mapped.size_ = static_cast<size_t>(info.st_size);
  if (mapped.size_ == 0) return mapped;
  void* data = ::mmap(nullptr, mapped.size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (data == MAP_FAILED) {
    mapped.size_ = 0;
    return fail_errno("map", path);
  }
  mapped.data_ = static_cast<const std::byte*>(data);
  return mapped;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(path_, other.path_);
  std::swap(stamp_, other.stamp_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::drop(size_t offset, size_t size) const {
  const size_t begin = (offset + page_bytes() - 1) / page_bytes() * page_bytes();
  const size_t end = (offset + size) / page_bytes() * page_bytes();
  if (begin >= end || end > size_) return;
  ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_DONTNEED);
}

void MappedFile::will_need() const {
  if (data_ != nullptr) ::madvise(const_cast<std::byte*>(data_), size_, MADV_WILLNEED);
}

void MappedFile::will_need(size_t offset, size_t size) const {
  MK_CHECK(offset <= size_ && size <= size_ - offset, "will_need: [{}, +{}) of {}", offset, size,
           size_);
  const size_t begin = offset / page_bytes() * page_bytes();
  if (size > 0) {
    ::madvise(const_cast<std::byte*>(data_) + begin, offset + size - begin, MADV_WILLNEED);
  }
}

void drop_mapped(std::span<const MappedFile> maps, std::span<const std::byte> bytes) {
  if (maps.empty() || bytes.empty()) return;
  for (const MappedFile& map : maps) {
    const std::byte* begin = map.bytes().data();
    const std::byte* end = begin + map.bytes().size();
    if (bytes.data() < begin || bytes.data() + bytes.size() > end) continue;
    return map.drop(static_cast<size_t>(bytes.data() - begin), bytes.size());
  }
  MK_CHECK(false, "drop_mapped: {} bytes outside of the maps", bytes.size());
}

Result<std::string> read_file(const fs::path& path, size_t bytes_max) {
  FileDescriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.fd < 0) return fail_errno("open", path);
  std::string content;
  char chunk[65536];
  while (true) {
    const ssize_t got = ::read(file.fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read", path);
    if (got == 0) return content;
    content.append(chunk, static_cast<size_t>(got));
    if (content.size() > bytes_max) {
      return fail(ErrorCode::kFailed, "{} is larger than the limit of {} bytes", path.string(),
                  bytes_max);
    }
  }
}

Result<void> write_file_atomic(const fs::path& path, std::string_view content) {
  MK_ASSIGN(AtomicFile file, AtomicFile::create(path));
  MK_TRY(file.write(std::as_bytes(std::span(content))));
  return file.commit();
}

Folders folders_from_environment() {
  if (const char* home = std::getenv("MINKE_HOME"); home != nullptr && home[0] != '\0') {
    return {fs::path(home) / "data", fs::path(home) / "cache", fs::path(home) / "state"};
  }
  const fs::path home = environment_path("HOME", "/tmp");
  return {environment_path("XDG_DATA_HOME", home / ".local/share") / "minke",
          environment_path("XDG_CACHE_HOME", home / ".cache") / "minke",
          environment_path("XDG_STATE_HOME", home / ".local/state") / "minke"};
}

uint64_t peak_rss_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace minke
