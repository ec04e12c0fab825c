#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "minke/hub/file_digest.h"
#include "minke/hub/hub_listing.h"
#include "minke/hub/hub_session.h"

namespace minke {

/// How to download.
struct DownloadOptions {
  int connections = 4;
  uint64_t chunk_bytes = 0;    ///< of the journal; 0: by the file's size
  uint64_t request_bytes = 0;  ///< the most for one request; 0: by the file's size
  /// Told some ten times a second how many bytes of this file are there.
  std::function<void(uint64_t bytes_done)> on_progress;
};

/// What a download gave.
struct DownloadedFile {
  std::string sha256;
  uint64_t bytes_fetched = 0;  ///< over the network, by this process
};

/// Fetches `file` from `url` to `target`, which appears only when all of it is there, synced and
/// checked against the hash that the listing tells. On the way it is `partial`, with a RangeJournal
/// beside it ("partial.journal"); a later call goes on from there, whatever ended the earlier one.
///
/// The first request finds out whether the server serves ranges; then up to `connections` run. Cut,
/// stalled and short answers are gone on from the byte where they ended; 429 and 5xx are waited
/// for. A server that ignores ranges is read in one go. A wrong hash costs one fetch of the whole
/// file; then it is kCorrupt, naming both hashes.
///
/// kNetwork, kAuth, kNotFound, kWillNotFit (disk full), kInterrupted; the partial file is kept for
/// all of these, and dropped for kCorrupt.
Result<DownloadedFile> download_file(HubSession& session, const RemoteFile& file,
                                     const std::string& url, const std::filesystem::path& partial,
                                     const std::filesystem::path& target,
                                     const DownloadOptions& options);

/// kCorrupt, naming both hashes, when `hashes` are not those of the listing.
Result<void> check_hashes(const RemoteFile& file, const FileHashes& hashes);

}  // namespace minke
