#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/hub/http_headers.h"

namespace minke {

/// A file in a repository.
struct RemoteFile {
  std::string path;  ///< from the repository's root, with '/'; never leads out of a folder
  uint64_t size_bytes = 0;
  std::string sha256;    ///< 64 hex digits, or empty where the hub does not tell it
  std::string git_sha1;  ///< git's blob id (40 hex digits), where the hub tells only that
};

/// What a hub says of one revision of a repository.
struct RemoteListing {
  std::vector<RemoteFile> files;
  std::string commit;   ///< what the revision was at that moment; ModelScope does not tell
  std::string license;  ///< an SPDX identifier in lower case, or "unknown"
};

/// Parses one page of Hugging Face's `/api/models/.../tree/REVISION?recursive=true`: an array of
/// {"type": "file", "path", "size", "oid", "lfs": {"oid", "size"}}. Folders are left out. kNetwork
/// when it is not that.
Result<std::vector<RemoteFile>> parse_hf_tree(std::string_view json);

/// Parses ModelScope's `/api/v1/models/.../repo/files?Recursive=True`: {"Data": {"Files": [{"Type":
/// "blob", "Path", "Size", "Sha256"}]}}. kNetwork when it is not that.
Result<std::vector<RemoteFile>> parse_ms_files(std::string_view json);

/// Commit and license from Hugging Face's `/api/models/.../revision/REVISION`. kNetwork when it has
/// no commit.
Result<RemoteListing> parse_hf_info(std::string_view json);

/// The license that ModelScope's `/api/v1/models/OWNER/REPO` tells, or "unknown".
std::string parse_ms_license(std::string_view json);

}  // namespace minke
