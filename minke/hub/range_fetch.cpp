#include "minke/hub/range_fetch.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "minke/hub/hub_session.h"

namespace minke {
namespace {

constexpr size_t kRedirectBytesMax = 64 << 10;

// Only a strong tag says that the bytes are the same.
bool is_strong_etag(std::string_view etag) {
  return etag.size() >= 2 && etag.front() == '"' && etag.back() == '"';
}

}  // namespace

void RangeFetch::add_headers(FetchRequest& request) const {
  if (whole_) return;
  const RangeJournal& journal = *target_.journal;
  request.headers.push_back({"Range", fmt::format("bytes={}-{}", begin(), range_end() - 1)});
  // Where the hash is known, it is the judge; tags differ between the machines of one host.
  if (!target_.hash_known && is_strong_etag(journal.etag())) {
    request.headers.push_back({"If-Range", journal.etag()});
  }
}

bool RangeFetch::stop(FetchEnd end, ErrorCode code, std::string message) {
  stopped_ = true;
  end_ = end;
  error_ = {code, std::move(message)};
  return false;
}

bool RangeFetch::on_head(const HttpHead& head) {
  head_ = head;
  has_head_ = true;
  if (is_redirect_status(head.status)) {
    stop(FetchEnd::kRedirect, ErrorCode::kNetwork, "");
    return true;  // its body is read, so that the connection can be used again
  }
  if (is_passing_status(head.status)) {
    return stop(FetchEnd::kPassing, ErrorCode::kNetwork, fmt::format("status {}", head.status));
  }
  // The range lies outside of the file that the server has now.
  if (head.status == 416) return stop(FetchEnd::kChanged, ErrorCode::kNetwork, "status 416");
  if (head.status != 200 && head.status != 206) {
    return stop(FetchEnd::kStatus, ErrorCode::kNetwork, "");
  }
  const std::string_view encoding = head.get("Content-Encoding");
  if (!encoding.empty() && encoding != "identity") {
    return stop(FetchEnd::kPassing, ErrorCode::kNetwork,
                fmt::format("the server sends it compressed ({}), which was not asked for",
                            encoding.substr(0, 40)));
  }
  return check_version(head) && (head.status == 200 ? check_whole(head) : check_range(head));
}

// Whether this answer is of the same version of the file as those before.
bool RangeFetch::check_version(const HttpHead& head) {
  // Hugging Face tells the hash of a large file before it redirects, and also if it does not.
  const std::string linked = bare_etag(head.get("X-Linked-Etag"));
  if (is_hex(linked, 64) && !target_.sha256.empty() && linked != target_.sha256) {
    return stop(FetchEnd::kChanged, ErrorCode::kNetwork, "it has another hash on the server now");
  }
  if (target_.hash_known) return true;
  RangeJournal& journal = *target_.journal;
  const std::string etag(head.get("ETag"));
  if (journal.bytes_done() > 0 && !journal.etag().empty() && etag != journal.etag()) {
    return stop(FetchEnd::kChanged, ErrorCode::kNetwork, "it has another ETag on the server now");
  }
  if (!is_strong_etag(etag)) return true;
  const Result<void> kept = journal.set_etag(etag);
  return kept || stop(FetchEnd::kFailed, kept.error().code, kept.error().message);
}

bool RangeFetch::check_whole(const HttpHead& head) {
  if (!whole_ && begin() != 0) {
    return stop(FetchEnd::kNoRanges, ErrorCode::kNetwork, "");
  }
  whole_ = true;
  chunks_ = {0, target_.journal->num_chunks()};
  offset_end_ = target_.journal->size_bytes();
  const auto length = parse_decimal(head.get("Content-Length"));
  if (!length || *length == offset_end_) return true;
  return stop(
      FetchEnd::kPassing, ErrorCode::kNetwork,
      fmt::format("the server has {} bytes of it, the listing said {}", *length, offset_end_));
}

bool RangeFetch::check_range(const HttpHead& head) {
  const RangeJournal& journal = *target_.journal;
  const uint64_t wanted = begin();
  const std::string_view field = head.get("Content-Range");
  const auto range = parse_content_range(field);
  const bool fits = range && range->begin == wanted && range->end <= range_end() &&
                    (!range->total || *range->total == journal.size_bytes());
  if (!fits || whole_) {
    return stop(FetchEnd::kPassing, ErrorCode::kNetwork,
                fmt::format("asked for the bytes {}-{}/{}, the server answered with '{}'", wanted,
                            range_end() - 1, journal.size_bytes(), field.substr(0, 80)));
  }
  offset_ = range->begin;
  offset_end_ = range->end;
  return true;
}

bool RangeFetch::on_body(std::string_view bytes) {
  if (stopped_) return (redirect_bytes_ += bytes.size()) < kRedirectBytesMax;
  target_.bytes_fetched += bytes.size();
  if (bytes.size() > offset_end_ - offset_) {
    return stop(FetchEnd::kPassing, ErrorCode::kNetwork,
                "the server sends more bytes than it announced");
  }
  RangeJournal& journal = *target_.journal;
  while (!bytes.empty()) {
    const size_t chunk = journal.chunk_of(offset_);
    if (!enter(chunk)) return false;
    const size_t here = std::min<uint64_t>(bytes.size(), journal.chunk_end(chunk) - offset_);
    // In a whole file, what is there already is passed over: a byte is written once.
    const uint64_t known = std::min<uint64_t>(here, journal.position(chunk) - offset_);
    if (known < here && !write(bytes.substr(known, here - known))) return false;
    offset_ += here;
    bytes.remove_prefix(here);
  }
  return true;
}

// Moves on to the chunk where the next byte belongs.
bool RangeFetch::enter(size_t chunk) {
  if (chunk == chunks_.begin) return true;
  chunks_.begin = chunk;
  const Result<void> moved = unnote(chunk);
  return moved || stop(FetchEnd::kFailed, moved.error().code, moved.error().message);
}

Result<void> RangeFetch::note_begin() {
  if (whole_) return {};
  noted_ = {chunks_.begin, chunks_.begin};
  for (; noted_.end < chunks_.end; ++noted_.end) {
    MK_TRY(target_.journal->begin_request(noted_.end));
  }
  return {};
}

// Takes the notes back of the chunks before `end`.
Result<void> RangeFetch::unnote(size_t end) {
  for (; noted_.begin < std::min(end, noted_.end); ++noted_.begin) {
    MK_TRY(target_.journal->end_request(noted_.begin));
  }
  return {};
}

// After a reset or a stall, the server may have sent more than came: the notes stay.
Result<void> RangeFetch::note_end() { return orderly_ ? unnote(noted_.end) : Result<void>(); }

bool RangeFetch::write(std::string_view bytes) {
  RangeJournal& journal = *target_.journal;
  uint64_t at = begin();
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(target_.fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      const Error error = write_error(errno, target_.path);
      return stop(FetchEnd::kFailed, error.code, error.message);
    }
    bytes.remove_prefix(static_cast<size_t>(done));
    at += static_cast<uint64_t>(done);
    bytes_new_ += static_cast<uint64_t>(done);
  }
  const Result<void> marked = journal.mark(chunks_.begin, at);
  return marked || stop(FetchEnd::kFailed, marked.error().code, marked.error().message);
}

void RangeFetch::on_end(const Result<void>& result, bool orderly) {
  ended_ = true;
  orderly_ = orderly || stopped_ || !has_head_;  // without a part of the file, none is lost
  if (stopped_) return;
  const RangeJournal& journal = *target_.journal;
  if (whole_ ? journal.is_complete() : begin() == range_end()) {
    end_ = FetchEnd::kDone;
    return;
  }
  if (!result) {
    const bool is_final = result.error().code == ErrorCode::kFailed;
    stop(is_final ? FetchEnd::kFailed : FetchEnd::kPassing, ErrorCode::kNetwork,
         result.error().message);
    return;
  }
  // A shorter range than asked for is allowed; going on is all there is to do.
  stop(FetchEnd::kPassing, ErrorCode::kNetwork, "the answer ended early");
}

}  // namespace minke
