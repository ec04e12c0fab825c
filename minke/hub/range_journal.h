#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "minke/base/result.h"

namespace minke {

/// What has to be the same for a half-fetched file to be gone on with.
struct JournalKey {
  uint64_t size_bytes = 0;
  std::string identity;  ///< the hash that the file will have, or its address where none is known
};

/// Which bytes of a file that is being fetched are there already. It lies beside the file:
///
///     offset  bytes
///     0       8      "minkejn1"
///     8       8      size of the file
///     16      8      bytes of a chunk
///     24      64     SHA-256 of the identity, hex
///     88      40     the kernel's boot id, zero-padded
///     128     256    ETag of the server, zero-padded; empty when longer
///     384     8      checksum: the first 8 bytes of SHA-256 of bytes 0 to 383
///     392     24     per chunk: bytes written from its start, bytes of these that are synced, and
///                    requests for the rest that were begun and never ended
///
/// All numbers are little-endian 64-bit words. A chunk is filled from its start, so a number says
/// all of it. `written` is stored right after the bytes were handed to the kernel: a process that
/// is killed loses nothing that it has written. After a crash of the machine (another boot id) only
/// `synced` counts, which is stored after an fdatasync() of the file, and synced itself.
///
/// What a killed process had asked for may have been sent and lost. Asking for the chunks with the
/// fewest such requests first keeps the bytes that are fetched twice from being fetched again.
///
/// Life: open() -> mark() as bytes come, sync() now and then -> remove().
class RangeJournal {
 public:
  /// Opens the journal at `path` for `data_file`, or begins a new one when there is none, when it
  /// is damaged or of another key, or when the data file is missing. What it says is cut to the
  /// data file's size. kFailed, kWillNotFit (disk full).
  static Result<RangeJournal> open(const std::filesystem::path& path, int data_fd,
                                   const JournalKey& key, uint64_t chunk_bytes);
  RangeJournal(RangeJournal&& other) noexcept;
  RangeJournal& operator=(RangeJournal&& other) noexcept;
  ~RangeJournal();

  uint64_t size_bytes() const { return key_.size_bytes; }
  size_t num_chunks() const { return written_.size(); }
  uint64_t chunk_begin(size_t chunk) const { return chunk * chunk_bytes_; }
  uint64_t chunk_end(size_t chunk) const;
  /// The first byte of the chunk that is not there yet; chunk_end() when all of it is.
  uint64_t position(size_t chunk) const { return chunk_begin(chunk) + written_[chunk]; }
  bool is_complete(size_t chunk) const { return position(chunk) == chunk_end(chunk); }
  bool is_complete() const { return bytes_done_ == key_.size_bytes; }
  uint64_t bytes_done() const { return bytes_done_; }
  size_t chunk_of(uint64_t offset) const { return static_cast<size_t>(offset / chunk_bytes_); }
  /// How far the file is there without a gap, at least `from` (which must be so already).
  uint64_t contiguous_from(uint64_t from) const;

  /// Notes that the bytes from position(chunk) up to `end` are written.
  Result<void> mark(size_t chunk, uint64_t end);
  /// Notes that a request for the chunk begins, or has ended and all that was sent is written.
  Result<void> begin_request(size_t chunk);
  Result<void> end_request(size_t chunk);
  /// Requests for the chunk of which something may have been sent and lost: those that run, those
  /// of killed processes, and those whose connection broke.
  uint64_t lost_requests(size_t chunk) const { return lost_[chunk]; }
  /// Whether a chunk that is not complete has any.
  bool has_lost_requests() const;
  /// Syncs the data file, then the journal. `force`: also when little came since the last time.
  Result<void> sync(int data_fd, bool force);
  /// Forgets everything that is there: the file is fetched afresh.
  Result<void> reset();

  const std::string& etag() const { return etag_; }
  Result<void> set_etag(const std::string& etag);

 private:
  RangeJournal() = default;
  Result<void> write_new();
  void forget();
  Result<void> store(size_t chunk, size_t column, uint64_t value);
  bool load(uint64_t data_bytes);

  std::filesystem::path path_;
  JournalKey key_;
  uint64_t chunk_bytes_ = 0;
  std::string etag_;
  std::vector<uint64_t> written_;
  std::vector<uint64_t> synced_;
  std::vector<uint64_t> lost_;
  uint64_t bytes_done_ = 0;
  uint64_t unsynced_bytes_ = 0;
  int fd_ = -1;
};

/// The error of a failed write to `path`: kWillNotFit for a full disk, a quota or a limit on file
/// sizes, else kFailed.
Error write_error(int code, const std::filesystem::path& path);

}  // namespace minke
