#pragma once
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

/// One request for a range of a file, and the writing of what comes.
class RangeFetch final : public HttpReceiver {
 public:
  /// A fetch of [position(chunk), chunk_end(chunk)), or with `whole` of the file from its start.
  RangeFetch(FetchTarget& target, size_t chunk, bool whole)
      : target_(target), chunk_(chunk), whole_(whole) {}

  /// Adds the fields that ask for the range.
  void add_headers(HttpRequest& request) const;

  bool on_head(const HttpHead& head) override;
  bool on_body(std::string_view bytes) override;
  void on_end(const Result<void>& result) override;

  size_t chunk() const { return chunk_; }
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
  bool write(std::string_view bytes);

  FetchTarget& target_;
  size_t chunk_;
  bool whole_;
  uint64_t offset_ = 0;      // of the next byte of the body in the file
  uint64_t offset_end_ = 0;  // where the answer ends
  uint64_t bytes_new_ = 0;
  bool has_head_ = false;
  bool ended_ = false;
  bool stopped_ = false;
  FetchEnd end_ = FetchEnd::kPassing;
  Error error_;
  HttpHead head_;
};

}  // namespace minke
