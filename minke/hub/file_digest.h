#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "minke/base/result.h"

namespace minke {

/// The hashes of a file that grows: SHA-256, and git's blob id (SHA-1 of "blob SIZE\0" and the
/// bytes), which is all that a hub tells for small files.
class FileDigest {
 public:
  /// `size_bytes` is the size of the whole file; git hashes it first.
  explicit FileDigest(uint64_t size_bytes);
  ~FileDigest();
  FileDigest(FileDigest&&) noexcept;
  FileDigest& operator=(FileDigest&&) noexcept;

  /// Bytes taken in so far.
  uint64_t position() const { return position_; }
  /// Reads the file on from position() to `end`. kFailed when that cannot be read.
  Result<void> read_on(int fd, uint64_t end);

  /// Both as lower-case hex digits, once all bytes are in. Only one call of each.
  std::string sha256();
  std::string git_sha1();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  uint64_t position_ = 0;
};

/// The two hashes of a file that lies there.
struct FileHashes {
  std::string sha256;
  std::string git_sha1;
};
/// Reads the whole file. kNotFound, kFailed.
Result<FileHashes> hash_file(const std::string& path);

}  // namespace minke
