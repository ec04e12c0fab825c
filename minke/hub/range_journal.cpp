#include "minke/hub/range_journal.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "minke/base/check.h"
#include "minke/base/files.h"

namespace minke {
namespace {

constexpr std::string_view kMagic = "minkejn1";
constexpr size_t kIdentityAt = 24;
constexpr size_t kIdentityBytes = 64;
constexpr size_t kBootAt = 88;
constexpr size_t kBootBytes = 40;
constexpr size_t kEtagAt = 128;
constexpr size_t kEtagBytes = 256;
constexpr size_t kSumAt = 384;
constexpr size_t kTableAt = 392;
constexpr size_t kRowBytes = 24;
// A sync of the disk costs a pause; so much may have to be fetched again after a power cut.
constexpr uint64_t kUnsyncedBytesMax = 64 << 20;
constexpr uint64_t kLostMax = 1000;            // what a damaged row may claim
constexpr size_t kJournalBytesMax = 64 << 20;  // 32 TB of data in chunks of 8 MB

void put_word(std::string& out, size_t at, uint64_t value) {
  for (int i = 0; i < 8; ++i) out[at + i] = static_cast<char>(value >> (8 * i));
}

uint64_t get_word(const std::string& text, size_t at) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(text[at + i])) << (8 * i);
  }
  return value;
}

std::string sha256_text(const std::string& text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  EVP_Digest(text.data(), text.size(), digest, &bytes, EVP_sha256(), nullptr);
  std::string hex;
  for (unsigned int i = 0; i < bytes; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

// Eight bytes that a torn or foreign header will not have.
uint64_t checksum(const std::string& header) {
  const std::string hex = sha256_text(header.substr(0, kSumAt));
  return std::strtoull(hex.substr(0, 16).c_str(), nullptr, 16);
}

std::string boot_id() {
  const Result<std::string> id = read_file("/proc/sys/kernel/random/boot_id", 4096);
  return id ? id->substr(0, std::min<size_t>(36, id->find('\n'))) : std::string();
}

std::string padded_field(const std::string& header, size_t at, size_t bytes) {
  const std::string field = header.substr(at, bytes);
  return field.substr(0, field.find('\0'));
}

std::string make_header(const JournalKey& key, uint64_t chunk_bytes, const std::string& etag) {
  std::string header(kTableAt, '\0');
  header.replace(0, kMagic.size(), kMagic);
  put_word(header, 8, key.size_bytes);
  put_word(header, 16, chunk_bytes);
  header.replace(kIdentityAt, kIdentityBytes, sha256_text(key.identity));
  const std::string boot = boot_id();
  header.replace(kBootAt, boot.size(), boot);
  if (etag.size() < kEtagBytes) header.replace(kEtagAt, etag.size(), etag);
  put_word(header, kSumAt, checksum(header));
  return header;
}

}  // namespace

Error write_error(int code, const std::filesystem::path& path) {
  if (code == ENOSPC || code == EDQUOT) {
    return {ErrorCode::kWillNotFit,
            fmt::format("the disk is full: cannot write {}", path.string())};
  }
  if (code == EFBIG) {
    return {ErrorCode::kWillNotFit,
            fmt::format("{} would exceed the largest file allowed here (ulimit -f, or the file "
                        "system's limit)",
                        path.string())};
  }
  return {ErrorCode::kFailed,
          fmt::format("cannot write {}: {}", path.string(), std::strerror(code))};
}

RangeJournal::RangeJournal(RangeJournal&& other) noexcept { *this = std::move(other); }

RangeJournal& RangeJournal::operator=(RangeJournal&& other) noexcept {
  path_ = std::move(other.path_);
  key_ = std::move(other.key_);
  chunk_bytes_ = other.chunk_bytes_;
  etag_ = std::move(other.etag_);
  written_ = std::move(other.written_);
  synced_ = std::move(other.synced_);
  lost_ = std::move(other.lost_);
  bytes_done_ = other.bytes_done_;
  unsynced_bytes_ = other.unsynced_bytes_;
  std::swap(fd_, other.fd_);
  return *this;
}

RangeJournal::~RangeJournal() {
  if (fd_ >= 0) ::close(fd_);
}

Result<RangeJournal> RangeJournal::open(const std::filesystem::path& path, int data_fd,
                                        const JournalKey& key, uint64_t chunk_bytes) {
  MK_CHECK(chunk_bytes > 0, "range_journal: chunks of no bytes");
  RangeJournal journal;
  journal.path_ = path;
  journal.key_ = key;
  journal.chunk_bytes_ = chunk_bytes;
  const size_t num_chunks = (key.size_bytes + chunk_bytes - 1) / chunk_bytes;
  journal.written_.assign(num_chunks, 0);
  journal.synced_.assign(num_chunks, 0);
  journal.lost_.assign(num_chunks, 0);
  struct stat info {};
  if (::fstat(data_fd, &info) != 0) return tl::unexpected<Error>(write_error(errno, path));
  if (!journal.load(static_cast<uint64_t>(info.st_size))) {
    journal.forget();
    journal.etag_.clear();
  }
  // Written anew in any case: the boot id is that of now.
  MK_TRY(journal.write_new());
  return journal;
}

// Reads what an earlier process left. False when it is of no use.
bool RangeJournal::load(uint64_t data_bytes) {
  const Result<std::string> text = read_file(path_, kJournalBytesMax);
  if (!text || text->size() != kTableAt + kRowBytes * written_.size()) return false;
  const std::string header = text->substr(0, kTableAt);
  if (!header.starts_with(kMagic) || get_word(header, kSumAt) != checksum(header)) return false;
  if (get_word(header, 8) != key_.size_bytes || get_word(header, 16) != chunk_bytes_) return false;
  if (header.substr(kIdentityAt, kIdentityBytes) != sha256_text(key_.identity)) return false;
  etag_ = padded_field(header, kEtagAt, kEtagBytes);
  const std::string boot = boot_id();
  const bool same_boot = !boot.empty() && padded_field(header, kBootAt, kBootBytes) == boot;
  for (size_t chunk = 0; chunk < written_.size(); ++chunk) {
    const size_t row = kTableAt + kRowBytes * chunk;
    uint64_t done = get_word(*text, row + (same_boot ? 0 : 8));
    done = std::min(done, chunk_end(chunk) - chunk_begin(chunk));
    done = std::min(done, data_bytes - std::min(data_bytes, chunk_begin(chunk)));
    written_[chunk] = done;
    synced_[chunk] = std::min(done, get_word(*text, row + 8));
    lost_[chunk] = std::min(get_word(*text, row + 16), kLostMax);
  }
  return true;
}

Result<void> RangeJournal::write_new() {
  std::string text = make_header(key_, chunk_bytes_, etag_);
  text.resize(kTableAt + kRowBytes * written_.size(), '\0');
  bytes_done_ = 0;
  unsynced_bytes_ = 0;
  for (size_t chunk = 0; chunk < written_.size(); ++chunk) {
    put_word(text, kTableAt + kRowBytes * chunk, written_[chunk]);
    put_word(text, kTableAt + kRowBytes * chunk + 8, synced_[chunk]);
    put_word(text, kTableAt + kRowBytes * chunk + 16, lost_[chunk]);
    bytes_done_ += written_[chunk];
    unsynced_bytes_ += written_[chunk] - synced_[chunk];
  }
  MK_TRY(write_file_atomic(path_, text));
  if (fd_ >= 0) ::close(fd_);
  fd_ = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
  if (fd_ < 0) return tl::unexpected<Error>(write_error(errno, path_));
  return {};
}

uint64_t RangeJournal::chunk_end(size_t chunk) const {
  return std::min(key_.size_bytes, (chunk + 1) * chunk_bytes_);
}

uint64_t RangeJournal::contiguous_from(uint64_t from) const {
  size_t chunk = chunk_of(from);
  while (chunk < num_chunks() && is_complete(chunk)) ++chunk;
  return chunk == num_chunks() ? key_.size_bytes : position(chunk);
}

Result<void> RangeJournal::mark(size_t chunk, uint64_t end) {
  MK_CHECK(end >= position(chunk) && end <= chunk_end(chunk),
           "range_journal: chunk {} goes from {} to {}, marked up to {}", chunk, position(chunk),
           chunk_end(chunk), end);
  const uint64_t added = end - position(chunk);
  written_[chunk] += added;
  bytes_done_ += added;
  unsynced_bytes_ += added;
  return store(chunk, 0, written_[chunk]);
}

Result<void> RangeJournal::store(size_t chunk, size_t column, uint64_t value) {
  std::string word(8, '\0');
  put_word(word, 0, value);
  const auto at = static_cast<off_t>(kTableAt + kRowBytes * chunk + 8 * column);
  if (::pwrite(fd_, word.data(), word.size(), at) == static_cast<ssize_t>(word.size())) return {};
  return tl::unexpected<Error>(write_error(errno, path_));
}

Result<void> RangeJournal::begin_request(size_t chunk) { return store(chunk, 2, ++lost_[chunk]); }

Result<void> RangeJournal::end_request(size_t chunk) {
  if (lost_[chunk] == 0) return {};  // everything was forgotten since it began
  return store(chunk, 2, --lost_[chunk]);
}

bool RangeJournal::has_lost_requests() const {
  for (size_t chunk = 0; chunk < num_chunks(); ++chunk) {
    if (lost_[chunk] > 0 && !is_complete(chunk)) return true;
  }
  return false;
}

Result<void> RangeJournal::sync(int data_fd, bool force) {
  if (unsynced_bytes_ == 0 || (!force && unsynced_bytes_ < kUnsyncedBytesMax)) return {};
  if (::fdatasync(data_fd) != 0) return tl::unexpected<Error>(write_error(errno, path_));
  for (size_t chunk = 0; chunk < written_.size(); ++chunk) {
    if (synced_[chunk] == written_[chunk]) continue;
    synced_[chunk] = written_[chunk];
    MK_TRY(store(chunk, 1, synced_[chunk]));
  }
  unsynced_bytes_ = 0;
  if (::fdatasync(fd_) == 0) return {};
  return tl::unexpected<Error>(write_error(errno, path_));
}

void RangeJournal::forget() {
  std::fill(written_.begin(), written_.end(), 0);
  std::fill(synced_.begin(), synced_.end(), 0);
  std::fill(lost_.begin(), lost_.end(), 0);
}

Result<void> RangeJournal::reset() {
  forget();
  return write_new();
}

Result<void> RangeJournal::set_etag(const std::string& etag) {
  if (etag == etag_ || etag.size() >= kEtagBytes) return {};
  etag_ = etag;
  return write_new();
}

}  // namespace minke
