#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>

#include "minke/hub/http_client.h"
#include "minke/hub/range_journal.h"

namespace minke {

/// What all requests for one file share.
struct FetchTarget {
  RangeJournal* journal = nullptr;
  int fd = -1;
  std::filesystem::path path;  ///< of fd, for messages
  std::string sha256;          ///< that the hub tells, or empty
  bool hash_known = false;     ///< without any hash, the ETag has to tell of a change
  uint64_t bytes_fetched = 0;
};

/// How a request ended.
enum class FetchEnd {
  kDone,      ///< all that was asked for is there
  kPassing,   ///< cut, stalled, lied to or sent away for now: ask again, see `error`
  kRedirect,  ///< to `location`
  kNoRanges,  ///< the server sent the whole file for a part of it
  kChanged,   ///< another version of the file than before
  kStatus,    ///< an HTTP status that is an error, see `head`
  kFailed,    ///< no attempt can help, see `error`
};

/// The chunks [begin, end) of a journal.
struct ChunkRun {
  size_t begin = 0;
  size_t end = 0;
};

/// One request for a range of a file, and the writing of what comes.
class RangeFetch final : public HttpReceiver {
 public:
  /// A fetch of what is missing of the first chunk and of all the others, which must be empty; with
  /// `whole` of the file from its start.
  RangeFetch(FetchTarget& target, ChunkRun chunks, bool whole)
      : target_(target), chunks_(chunks), whole_(whole) {}

  /// Adds the fields that ask for the range.
  void add_headers(FetchRequest& request) const;
  /// Notes in the journal which chunks are on their way: all that are asked for, since the server
  /// may have sent any of them when this process dies. To be called before the start; note_end()
  /// after the end. A whole file is not noted: it is always sent from its start.
  Result<void> note_begin();
  Result<void> note_end();

  bool on_head(const HttpHead& head) override;
  bool on_body(std::string_view bytes) override;
  void on_end(const Result<void>& result, bool orderly) override;

  /// What it has still to fetch; the first chunk is the one that it is in.
  ChunkRun chunks() const { return chunks_; }
  bool has_ended() const { return ended_; }
  bool has_head() const { return has_head_; }
  FetchEnd end() const { return end_; }
  const Error& error() const { return error_; }
  const HttpHead& head() const { return head_; }
  uint64_t bytes_new() const { return bytes_new_; }  ///< that were not there before

  double begun = 0;  ///< seconds_now() at the start
  std::string url;   ///< that was asked

 private:
  bool stop(FetchEnd end, ErrorCode code, std::string message);
  bool check_whole(const HttpHead& head);
  bool check_range(const HttpHead& head);
  bool check_version(const HttpHead& head);
  Result<void> unnote(size_t end);
  bool enter(size_t chunk);
  bool write(std::string_view bytes);
  uint64_t begin() const { return target_.journal->position(chunks_.begin); }
  uint64_t range_end() const { return target_.journal->chunk_end(chunks_.end - 1); }

  FetchTarget& target_;
  ChunkRun chunks_;
  ChunkRun noted_;  // in the journal
  bool whole_;
  uint64_t offset_ = 0;      // of the next byte of the body in the file
  uint64_t offset_end_ = 0;  // where the answer ends
  uint64_t bytes_new_ = 0;
  size_t redirect_bytes_ = 0;
  bool has_head_ = false;
  bool ended_ = false;
  bool stopped_ = false;
  bool orderly_ = true;
  FetchEnd end_ = FetchEnd::kPassing;
  Error error_;
  HttpHead head_;
};

}  // namespace minke
