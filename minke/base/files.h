#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "minke/base/result.h"

namespace minke {

/// What changes with a file's content: its size, and the times at which content and inode were last
/// changed. (Programs can set the first time back, as `cp -p` does, but not the second.)
struct FileStamp {
  uint64_t bytes = 0;
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;
  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

/// The stamp of the file that lies at `path` now; kNotFound or kFailed.
Result<FileStamp> file_stamp(const std::filesystem::path& path);

/// A file mapped read-only. Unmapped when destroyed. The bytes are foreign: read them as hostile.
class MappedFile {
 public:
  /// kNotFound when there is no such file, kFailed when it cannot be read or is no regular file.
  static Result<MappedFile> open(const std::filesystem::path& path);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }
  /// The file's stamp when it was opened.
  const FileStamp& stamp() const { return stamp_; }
  /// Tells the kernel that [offset, offset + size) will not be needed again, which frees its pages
  /// in this process. Reading them later is allowed and reads the file again.
  void drop(size_t offset, size_t size) const;
  /// Asks the kernel to read ahead all of it.
  void will_need() const;
  /// The same of the pages that have one of [offset, offset + size), which lie in the file.
  void will_need(size_t offset, size_t size) const;

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::filesystem::path path_;
  FileStamp stamp_;
};

/// Drops `bytes`, which lie in one of `maps`; without maps (bytes in memory) nothing.
void drop_mapped(std::span<const MappedFile> maps, std::span<const std::byte> bytes);

/// The whole file as bytes; at most `bytes_max`.
Result<std::string> read_file(const std::filesystem::path& path,
                              size_t bytes_max = size_t{1} << 30);

/// Writes a file so that after a crash either the old or the new content is there: a temporary file
/// beside it, fsync, rename. Parent folders are made. On error nothing is left behind. A device or
/// a pipe (/dev/null, /dev/stdout) is written to in place.
Result<void> write_file_atomic(const std::filesystem::path& path, std::string_view content);

/// Where minke keeps things. MINKE_HOME overrides all; otherwise the XDG folders:
/// data = $XDG_DATA_HOME/minke (models, database), cache = $XDG_CACHE_HOME/minke,
/// state = $XDG_STATE_HOME/minke (history, logs, runs).
struct Folders {
  std::filesystem::path data;
  std::filesystem::path cache;
  std::filesystem::path state;
};
Folders folders_from_environment();

/// The most memory this process has held at once (VmHWM), in bytes.
uint64_t peak_rss_bytes();

}  // namespace minke
