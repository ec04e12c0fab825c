#include "minke/hub/download.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "minke/base/clock.h"
#include "minke/hub/range_fetch.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr int kPollMs = 100;
constexpr double kProgressSeconds = 0.1;
constexpr uint64_t kFileBytesMax = uint64_t{1} << 46;  // 70 TB: no model, but a lie in a listing
// Less than this is no progress: a server that sends one byte a connection would be asked for ever.
constexpr uint64_t kProgressBytesMin = 4 << 10;
constexpr uint64_t kCarefulBytes = 128 << 20;
constexpr int kRefusalsMax = 16;  // each connection may have an old link
// Hashing goes on behind the download, in steps that do not let the sockets wait long (10 ms).
constexpr uint64_t kHashStepBytes = 8 << 20;

// A file that is being fetched. One object a file; run() is its life.
class FileDownload {
 public:
  FileDownload(HubSession& session, const RemoteFile& file, std::string url, fs::path partial,
               const DownloadOptions& options)
      : session_(session),
        file_(file),
        url_(std::move(url)),
        direct_url_(url_),
        partial_(std::move(partial)),
        options_(options),
        digest_(file.size_bytes) {}
  ~FileDownload();

  // Until all bytes are there and hashed.
  Result<FileHashes> run();
  Result<void> start_afresh();
  Result<void> finish(const fs::path& target);
  uint64_t bytes_fetched() const { return target_.bytes_fetched; }

 private:
  uint64_t chunk_bytes() const;
  uint64_t request_bytes() const;
  Result<void> open();
  Result<void> step();
  Result<void> start_fetches();
  Result<void> start_fetch(ChunkRun chunks, bool whole);
  bool is_free(size_t chunk) const;
  std::optional<ChunkRun> next_run() const;
  Result<void> settle(RangeFetch& fetch);
  Result<void> settle_passing(RangeFetch& fetch, double asked_seconds);
  Result<void> settle_status(const RangeFetch& fetch);
  Result<void> settle_redirect(const RangeFetch& fetch);
  void ask_the_hub_again() {
    direct_url_ = url_;
    redirects_ = 0;
  }
  void cancel_all();
  void tell_progress(bool force);

  HubSession& session_;
  const RemoteFile& file_;
  const std::string url_;
  std::string direct_url_;  // where the redirects of url_ led to
  fs::path partial_;
  const DownloadOptions& options_;
  FileDigest digest_;
  std::optional<RangeJournal> journal_;
  FetchTarget target_;
  std::vector<std::unique_ptr<RangeFetch>> fetches_;
  bool was_killed_ = false;     // with requests on their way
  bool serves_ranges_ = false;  // seen a 206
  bool ignores_ranges_ = false;
  int connections_ = 1;
  int failures_ = 0;  // since the last progress
  int redirects_ = 0;
  int refusals_ = 0;  // of links to a storage host, since the last progress
  int changes_ = 0;
  double retry_at_ = 0;
  double told_at_ = 0;
};

FileDownload::~FileDownload() {
  cancel_all();
  if (target_.fd >= 0) ::close(target_.fd);
}

void FileDownload::cancel_all() {
  for (const auto& fetch : fetches_) session_.client().cancel(*fetch);
  fetches_.clear();
}

// 256 rows or more, so that a kill spoils a small part of the file; at most 65,536, a journal of
// 1.5 MB.
uint64_t FileDownload::chunk_bytes() const {
  if (options_.chunk_bytes > 0) return options_.chunk_bytes;
  constexpr uint64_t kStep = 64 << 10;
  const uint64_t least = std::max(kStep, file_.size_bytes / 65536);
  const uint64_t bytes = std::max(std::min<uint64_t>(file_.size_bytes / 256, 1 << 20), least);
  return (bytes + kStep - 1) / kStep * kStep;
}

// Small enough that a file of some MB runs over all connections, large enough that the pause
// between two requests (one round trip) does not count. For some time after a kill it is small, for
// the next kill may follow soon, and lose all that is on its way.
uint64_t FileDownload::request_bytes() const {
  if (options_.request_bytes > 0) return options_.request_bytes;
  if (was_killed_ && target_.bytes_fetched < kCarefulBytes) return chunk_bytes();
  return std::clamp<uint64_t>(file_.size_bytes / 16, 1 << 20, 8 << 20);
}

Result<void> FileDownload::open() {
  target_.fd = ::open(partial_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (target_.fd < 0) return tl::unexpected<Error>(write_error(errno, partial_));
  const std::string identity = !file_.sha256.empty()     ? file_.sha256
                               : !file_.git_sha1.empty() ? file_.git_sha1
                                                         : url_;
  MK_ASSIGN(RangeJournal journal, RangeJournal::open(partial_.string() + ".journal", target_.fd,
                                                     {file_.size_bytes, identity}, chunk_bytes()));
  journal_ = std::move(journal);
  was_killed_ = journal_->has_lost_requests();
  target_.journal = &*journal_;
  target_.path = partial_;
  target_.sha256 = file_.sha256;
  target_.hash_known = !file_.sha256.empty() || !file_.git_sha1.empty();
  connections_ = std::max(1, options_.connections);
  return {};
}

Result<void> FileDownload::start_afresh() {
  cancel_all();
  digest_ = FileDigest(file_.size_bytes);
  ask_the_hub_again();
  MK_TRY(journal_->reset());
  if (::ftruncate(target_.fd, 0) == 0) return {};
  return tl::unexpected<Error>(write_error(errno, partial_));
}

Result<FileHashes> FileDownload::run() {
  if (target_.fd < 0) MK_TRY(open());
  Result<void> moved;
  while (moved && !(journal_->is_complete() && digest_.position() == file_.size_bytes)) {
    moved = step();
  }
  tell_progress(true);
  // Whatever ended this: what is there is made to stay.
  const Result<void> synced = journal_->sync(target_.fd, true);
  MK_TRY(moved);
  MK_TRY(synced);
  return FileHashes{digest_.sha256(), digest_.git_sha1()};
}

Result<void> FileDownload::step() {
  MK_TRY(session_.check_stop());
  MK_TRY(start_fetches());
  const uint64_t ready = journal_->contiguous_from(digest_.position());
  const bool behind = digest_.position() < ready;
  if (fetches_.empty() && !behind) return session_.pause(0.05);  // waiting for retry_at_
  MK_TRY(session_.client().poll(behind ? 0 : kPollMs));
  std::vector<std::unique_ptr<RangeFetch>> ended;
  for (auto& fetch : fetches_) {
    serves_ranges_ = serves_ranges_ || (fetch->has_head() && fetch->head().status == 206);
    if (fetch->has_ended()) ended.push_back(std::move(fetch));
  }
  std::erase(fetches_, nullptr);
  // Before settle(), which may drop everything that is there.
  const uint64_t hash_end = std::min(ready, digest_.position() + kHashStepBytes);
  if (behind) MK_TRY(digest_.read_on(target_.fd, hash_end));
  for (const auto& fetch : ended) MK_TRY(settle(*fetch));
  MK_TRY(journal_->sync(target_.fd, false));
  tell_progress(false);
  return {};
}

void FileDownload::tell_progress(bool force) {
  if (!options_.on_progress || (!force && seconds_now() - told_at_ < kProgressSeconds)) return;
  told_at_ = seconds_now();
  options_.on_progress(journal_->bytes_done());
}

bool FileDownload::is_free(size_t chunk) const {
  if (journal_->is_complete(chunk)) return false;
  return std::none_of(fetches_.begin(), fetches_.end(), [&](const auto& fetch) {
    return fetch->chunks().begin <= chunk && chunk < fetch->chunks().end;
  });
}

// The first of the missing chunks that nobody fetches; those that a killed process has asked for in
// vain come last, and one by one.
std::optional<ChunkRun> FileDownload::next_run() const {
  std::optional<size_t> first;
  for (size_t chunk = journal_->chunk_of(digest_.position()); chunk < journal_->num_chunks();
       ++chunk) {
    if (first && journal_->lost_requests(*first) <= journal_->lost_requests(chunk)) continue;
    if (!is_free(chunk)) continue;
    first = chunk;
    if (journal_->lost_requests(chunk) == 0) break;
  }
  if (!first) return std::nullopt;
  ChunkRun run{*first, *first + 1};
  if (journal_->lost_requests(*first) > 0) return run;
  const uint64_t end_max = journal_->position(*first) + request_bytes();
  while (run.end < journal_->num_chunks() && journal_->chunk_end(run.end) <= end_max &&
         journal_->position(run.end) == journal_->chunk_begin(run.end) && is_free(run.end) &&
         journal_->lost_requests(run.end) == 0) {
    ++run.end;
  }
  return run;
}

Result<void> FileDownload::start_fetches() {
  if (seconds_now() < retry_at_) return {};
  // One request shows whether ranges are served and where redirects lead; then there are more.
  const size_t allowed = serves_ranges_ && !ignores_ranges_ ? static_cast<size_t>(connections_) : 1;
  while (fetches_.size() < allowed) {
    const std::optional<ChunkRun> run = next_run();
    if (!run) return {};
    MK_TRY(start_fetch(*run, ignores_ranges_));
  }
  return {};
}

Result<void> FileDownload::start_fetch(ChunkRun chunks, bool whole) {
  auto fetch = std::make_unique<RangeFetch>(target_, chunks, whole);
  FetchRequest request = session_.request(direct_url_);
  fetch->add_headers(request);
  request.fresh_connection = journal_->lost_requests(chunks.begin) > 0;
  fetch->begun = seconds_now();
  fetch->url = direct_url_;
  MK_TRY(fetch->note_begin());
  MK_TRY(session_.client().start(request, *fetch));
  fetches_.push_back(std::move(fetch));
  return {};
}

Result<void> FileDownload::settle(RangeFetch& fetch) {
  MK_TRY(fetch.note_end());
  if (fetch.bytes_new() >= kProgressBytesMin || fetch.end() == FetchEnd::kDone) {
    failures_ = 0;
    redirects_ = 0;
    refusals_ = 0;
  }
  switch (fetch.end()) {
    case FetchEnd::kDone:
      return {};
    case FetchEnd::kRedirect:
      return settle_redirect(fetch);
    case FetchEnd::kNoRanges:
      ignores_ranges_ = true;
      cancel_all();
      return {};
    case FetchEnd::kChanged:
      if (target_.hash_known || ++changes_ > 2) {
        return fail(ErrorCode::kNetwork, "{} changed while it was fetched: {}; run it again",
                    file_.path, fetch.error().message);
      }
      return start_afresh();
    case FetchEnd::kStatus:
      return settle_status(fetch);
    case FetchEnd::kFailed:
      return tl::unexpected<Error>(fetch.error());
    case FetchEnd::kPassing:
      break;
  }
  const auto asked = parse_retry_after(fetch.head().get("Retry-After"), unix_seconds());
  return settle_passing(fetch, asked.value_or(0));
}

Result<void> FileDownload::settle_redirect(const RangeFetch& fetch) {
  if (fetch.url != direct_url_) return {};  // an earlier answer showed the way
  if (++redirects_ > kRedirectsMax) {
    return fail(ErrorCode::kNetwork, "{} redirects more than {} times", url_, kRedirectsMax);
  }
  const std::string linked = bare_etag(fetch.head().get("X-Linked-Etag"));
  if (is_hex(linked, 64) && !file_.sha256.empty() && linked != file_.sha256) {
    return fail(ErrorCode::kNetwork,
                "{} changed while it was fetched: its SHA-256 is {} now, the listing said {}; run "
                "it again",
                file_.path, linked, file_.sha256);
  }
  MK_ASSIGN(direct_url_, redirect_target(fetch.url, std::string(fetch.head().get("Location"))));
  return {};
}

// A final status. Where a redirect led to a storage host, the link may just have grown old.
Result<void> FileDownload::settle_status(const RangeFetch& fetch) {
  if (fetch.url == url_ || ++refusals_ > kRefusalsMax) {
    return tl::unexpected<Error>(status_error(session_, fetch.head(), file_.path));
  }
  if (fetch.url == direct_url_) ask_the_hub_again();
  return {};
}

Result<void> FileDownload::settle_passing(RangeFetch& fetch, double asked_seconds) {
  const HubPatience& patience = session_.patience();
  const int status = fetch.head().status;
  if (status == 429 || status == 503) connections_ = std::max(1, connections_ / 2);
  if (fetch.bytes_new() >= kProgressBytesMin && asked_seconds == 0) return {};  // go on at once
  // Of several connections that broke together, one counts.
  if (fetch.begun < retry_at_) return {};
  ++failures_;
  if (patience.attempts_max > 0 && failures_ >= patience.attempts_max) {
    return fail(ErrorCode::kNetwork,
                "{}: {} ({} attempts without progress); what is there is kept: run it again to go "
                "on",
                file_.path, fetch.error().message, failures_);
  }
  const double seconds = wait_seconds(patience, failures_, asked_seconds);
  retry_at_ = seconds_now() + seconds;
  ask_the_hub_again();
  if (patience.say) {
    patience.say(fmt::format("{}: {}; trying again in {:.1f} s", file_.path, fetch.error().message,
                             seconds));
  }
  return {};
}

Result<void> sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) ::close(fd);
  if (synced) return {};
  return fail(ErrorCode::kFailed, "cannot sync {}: {}", folder.string(), std::strerror(code));
}

Result<void> FileDownload::finish(const fs::path& target) {
  if (::ftruncate(target_.fd, static_cast<off_t>(file_.size_bytes)) != 0 ||
      ::fsync(target_.fd) != 0 || ::rename(partial_.c_str(), target.c_str()) != 0) {
    return tl::unexpected<Error>(write_error(errno, partial_));
  }
  MK_TRY(sync_folder(target.parent_path()));
  ::unlink((partial_.string() + ".journal").c_str());
  return {};
}

}  // namespace

Result<void> check_hashes(const RemoteFile& file, const FileHashes& hashes) {
  const bool has_sha256 = !file.sha256.empty();
  const std::string& expected = has_sha256 ? file.sha256 : file.git_sha1;
  const std::string& found = has_sha256 ? hashes.sha256 : hashes.git_sha1;
  if (expected.empty() || expected == found) return {};
  return fail(ErrorCode::kCorrupt, "{} has the {} {}, the hub says {}", file.path,
              has_sha256 ? "SHA-256" : "git blob id", found, expected);
}

Result<DownloadedFile> download_file(HubSession& session, const RemoteFile& file,
                                     const std::string& url, const fs::path& partial,
                                     const fs::path& target, const DownloadOptions& options) {
  if (file.size_bytes > kFileBytesMax) {
    return fail(ErrorCode::kNetwork, "the hub says that {} has {} bytes", file.path,
                file.size_bytes);
  }
  FileDownload download(session, file, url, partial, options);
  MK_ASSIGN(FileHashes hashes, download.run());
  Result<void> checked = check_hashes(file, hashes);
  if (!checked) {
    if (session.patience().say) {
      session.patience().say(checked.error().message + "; fetching it once more");
    }
    MK_TRY(download.start_afresh());
    MK_ASSIGN(hashes, download.run());
    checked = check_hashes(file, hashes);
  }
  if (!checked) {
    ::unlink(partial.c_str());
    ::unlink((partial.string() + ".journal").c_str());
    return fail(checked.error().code, "{}, also after it was fetched twice",
                checked.error().message);
  }
  MK_TRY(download.finish(target));
  return DownloadedFile{hashes.sha256, download.bytes_fetched()};
}

}  // namespace minke
