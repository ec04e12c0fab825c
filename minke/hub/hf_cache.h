#pragma once
#include <filesystem>
#include <optional>

#include "minke/hub/hub_listing.h"
#include "minke/hub/model_source.h"

namespace minke {

/// The cache that Hugging Face's own programs share. It is only read:
///
///     models--OWNER--REPO/refs/REVISION              the commit of a branch or tag
///     models--OWNER--REPO/snapshots/COMMIT/PATH      a link to ../../blobs/HASH
///     models--OWNER--REPO/blobs/HASH                 SHA-256 of large files, git's id of others
class HfCache {
 public:
  explicit HfCache(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& folder() const { return folder_; }
  /// The blob of a listed file, when it is there in its full size. Its bytes are not checked.
  std::optional<std::filesystem::path> find(const ModelSource& source,
                                            const RemoteFile& file) const;
  /// What is there of the source's revision, without asking anybody. kNotFound, saying what is
  /// missing.
  Result<RemoteListing> list(const ModelSource& source) const;

 private:
  std::filesystem::path repository(const ModelSource& source) const;

  std::filesystem::path folder_;
};

/// Makes `target` the same file as `from` without changing `from`, in the cheapest way that works:
/// a copy that shares its blocks (btrfs, xfs), a hard link, or a copy. kWillNotFit, kFailed.
Result<void> share_file(const std::filesystem::path& from, const std::filesystem::path& target);

/// Whether share_file() will need room for another copy.
bool needs_copy(const std::filesystem::path& from, const std::filesystem::path& folder);

}  // namespace minke
