#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "minke/base/files_error.h"
#include "minke/base/hash128.h"
#include "minke/base/json.h"
#include "minke/nn/packed_file.h"
#include "minke/nn/packed_header.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// What is packed at a time: large against a write's overhead, small against any memory.
constexpr int64_t kBufferBytes = int64_t{16} << 20;
// What may wait for the disk is twice this.
constexpr int64_t kWindowBytes = int64_t{32} << 20;
constexpr auto kLockPoll = std::chrono::milliseconds(100);

fs::path part_of(const fs::path& path) { return path.string() + ".part"; }

tl::unexpected<Error> interrupted() { return fail(ErrorCode::kInterrupted, ""); }

// Whether the open file is still the one at `path`: another process may have renamed or deleted it
// while this one waited for its lock.
bool is_at(int fd, const fs::path& path) {
  struct stat open_file {};
  struct stat named {};
  return ::fstat(fd, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

Result<void> wait_for_lock(int fd, const fs::path& part, PackedFileWriter::Progress progress) {
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno("lock", part);
    if (!progress(0)) return interrupted();
    std::this_thread::sleep_for(kLockPoll);
  }
  return {};
}

Json index_of(const PackedLabel& label, const std::vector<std::pair<std::string, int64_t>>& all) {
  Json::Array sources;
  for (const auto& [path, stamp] : label.sources) {
    sources.push_back(Json::Array{path, stamp.bytes, stamp.modified_ns, stamp.changed_ns});
  }
  Json::Object matrices;
  for (const auto& [key, offset] : all) matrices.emplace_back(key, offset);
  return Json::object({{"identity", label.identity},
                       {"sources", std::move(sources)},
                       {"matrices", std::move(matrices)}});
}

// A rename is on the disk when its folder is.
void sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

}  // namespace

Result<PackedFileWriter> PackedFileWriter::create(const fs::path& path, Progress progress) {
  std::error_code ignored;
  fs::create_directories(path.parent_path(), ignored);
  const fs::path part = part_of(path);
  while (true) {
    const int fd = ::open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return fail_errno("create", part);
    const Result<void> locked = wait_for_lock(fd, part, progress);
    if (locked && is_at(fd, part)) {
      PackedFileWriter writer(path, fd, progress);
      if (::ftruncate(fd, 0) != 0) return fail_errno("empty", part);
      const std::vector<char> zeros(kPackedPanelsAt);
      MK_TRY(writer.write(zeros.data(), zeros.size()));
      return writer;
    }
    ::close(fd);
    if (!locked) return pass_on(locked);
  }
}

bool PackedFileWriter::is_in_work(const fs::path& part) {
  const int fd = ::open(part.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool is_locked = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return is_locked;
}

PackedFileWriter::PackedFileWriter(PackedFileWriter&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      progress_(other.progress_),
      offsets_(std::move(other.offsets_)),
      buffer_(std::move(other.buffer_)),
      size_(other.size_),
      started_(other.started_),
      finished_(other.finished_) {}

PackedFileWriter::~PackedFileWriter() {
  if (fd_ < 0) return;
  ::unlink(part_of(path_).c_str());  // before the lock goes with the descriptor
  ::close(fd_);
}

Result<void> PackedFileWriter::check_room(uint64_t bytes) const {
  std::error_code error;
  const fs::space_info space = fs::space(path_.parent_path(), error);
  if (error || space.available >= bytes) return {};
  return fail(ErrorCode::kWillNotFit,
              "the packed weights take {:.1f} GB, and the disk of {} has {:.1f} GB free; make room "
              "there, or set XDG_CACHE_HOME to a folder on a larger disk",
              static_cast<double>(bytes) / 1e9, path_.parent_path().string(),
              static_cast<double>(space.available) / 1e9);
}

Result<void> PackedFileWriter::write(const void* data, size_t bytes) {
  const auto* from = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(fd_, from, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno("write", part_of(path_));
    from += written;
    size_ += written;
    bytes -= static_cast<size_t>(written);
  }
  return {};
}

// Sends a window on its way to the disk and waits for the one before.
void PackedFileWriter::write_behind() {
  if (size_ - started_ < kWindowBytes) return;
  ::sync_file_range(fd_, started_, size_ - started_, SYNC_FILE_RANGE_WRITE);
  ::sync_file_range(
      fd_, finished_, started_ - finished_,
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  finished_ = started_;
  started_ = size_;
}

Result<Tensor> PackedFileWriter::place(const PanelMatrix& matrix, PackRows pack) {
  const int64_t panel_bytes = kernels::packed_panel_bytes(matrix.dtype, matrix.cols);
  const int64_t rows_max = std::max<int64_t>(1, kBufferBytes / panel_bytes) * kernels::kPanelRows;
  const char zeros[kPackedAlignment] = {};
  MK_TRY(write(zeros, static_cast<size_t>(-size_ & (kPackedAlignment - 1))));
  offsets_.emplace_back(packed_key(matrix), size_);
  for (int64_t first = 0; first < matrix.rows; first += rows_max) {
    const int64_t count = std::min(rows_max, matrix.rows - first);
    buffer_.resize(static_cast<size_t>(kernels::packed_bytes(matrix.dtype, count, matrix.cols)));
    MK_TRY(pack(first, count, buffer_.data()));
    MK_TRY(write(buffer_.data(), buffer_.size()));
    write_behind();
    if (!progress_(static_cast<uint64_t>(size_))) return interrupted();
  }
  return Tensor();
}

Result<void> PackedFileWriter::commit(const PackedLabel& label) {
  const std::string index = index_of(label, offsets_).dump();
  PackedHeader header{};
  std::memcpy(header.magic, kPackedMagic, sizeof header.magic);
  header.index_offset = static_cast<uint64_t>(size_);
  header.index_bytes = index.size();
  header.file_bytes = header.index_offset + header.index_bytes;
  const std::string hash = hash128_hex(index);
  std::memcpy(header.index_hash, hash.data(), sizeof header.index_hash);
  MK_TRY(write(index.data(), index.size()));
  if (::fsync(fd_) != 0 ||
      ::pwrite(fd_, &header, sizeof header, 0) != static_cast<ssize_t>(sizeof header) ||
      ::fsync(fd_) != 0 || ::rename(part_of(path_).c_str(), path_.c_str()) != 0) {
    return fail_errno("write", path_);
  }
  ::close(std::exchange(fd_, -1));
  sync_folder(path_.parent_path());
  return {};
}

}  // namespace minke
