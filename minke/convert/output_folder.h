#pragma once
#include <filesystem>
#include <string_view>

#include "minke/base/result.h"

namespace minke {

/// A folder that is filled under another name beside its own and is there whole or not at all; see
/// AtomicFile. Without a commit nothing is left behind.
class OutputFolder {
 public:
  /// Makes parent folders, too.
  static Result<OutputFolder> create(const std::filesystem::path& path);

  OutputFolder(OutputFolder&& other) noexcept;
  OutputFolder& operator=(OutputFolder&&) = delete;
  ~OutputFolder();

  /// Where to put the files.
  const std::filesystem::path& path() const { return temporary_; }
  /// Puts the folder in its place; what is there now, is deleted.
  Result<void> commit();

 private:
  OutputFolder(std::filesystem::path target, std::filesystem::path temporary)
      : target_(std::move(target)), temporary_(std::move(temporary)) {}

  std::filesystem::path target_;
  std::filesystem::path temporary_;  // empty once committed
};

}  // namespace minke
