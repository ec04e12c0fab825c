#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "minke/base/result.h"

namespace minke {

/// Makes something new beside `path`, in whose name `make` creates it: called with names such as
/// "PATH.k3x9ab" until it does not fail for one that exists. Returns the name. Errors: errno's.
Result<std::string> make_beside(const std::filesystem::path& path,
                                const std::function<bool(const char* name)>& make);

/// A file that is written piece by piece and is there whole or not at all: a temporary file beside
/// it until commit() syncs and renames it. Without a commit nothing is left behind. A device or a
/// pipe is written to in place. A file that is replaced keeps its mode, a new one has that of
/// files made by this process (umask).
class AtomicFile {
 public:
  /// Makes parent folders, too. Errors, here and below: kWillNotFit when the disk is full, else
  /// kFailed or kNotFound, naming the file.
  static Result<AtomicFile> create(const std::filesystem::path& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  /// Asks the file system for room for `bytes` in all, where it can say so beforehand.
  Result<void> reserve(uint64_t bytes);
  /// Appends. After an error the file cannot be committed any more.
  Result<void> write(std::span<const std::byte> bytes);
  /// Puts the file in its place.
  Result<void> commit();

 private:
  AtomicFile(std::filesystem::path path, std::string temporary, int fd)
      : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

  std::filesystem::path path_;
  std::string temporary_;  // empty for a device
  int fd_ = -1;
};

}  // namespace minke
