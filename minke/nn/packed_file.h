#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <unordered_map>
#include <vector>

#include "minke/base/files.h"
#include "minke/nn/panel_store.h"

namespace minke {

/// What a packed file was made from.
struct PackedSource {
  std::string path;
  FileStamp stamp;
};

/// Where and what a packed file is. Files with equal identities have equal panels.
struct PackedLabel {
  std::string identity;
  std::vector<PackedSource> sources;
};

/// A model's panels in a file, ready to be multiplied with in place:
///
///     0     "MKPANEL1" | u64 file bytes | u64 index offset | u64 index bytes | 32 hex digits:
///           hash128_hex() of the index | zeros up to 4096           (little-endian; written last)
///     4096  panels of one matrix after the other, each at a multiple of 64
///     index JSON: {"identity", "sources": [[path, bytes, modified_ns, changed_ns]],
///           "matrices": {"NAME FORMAT ROWSxCOLS": offset}}
///
/// It is made under a temporary name and is there whole or not at all, so length, header and index
/// are what is checked when it is opened, not 100 GB of panels.
class PackedFile final : public PanelStore {
 public:
  /// kNotFound, kFailed, or kCorrupt for a file that is not as above.
  static Result<PackedFile> open(const std::filesystem::path& path);

  const PackedLabel& label() const { return label_; }
  uint64_t bytes() const { return static_cast<uint64_t>(map_.num_elements()); }

  /// Matrices that every token reads are copied to memory as long as they fit in `bytes` together;
  /// without it everything stays in the map, whose pages come and go with the system's cache.
  void copy_to_memory(uint64_t bytes) { memory_left_ = static_cast<int64_t>(bytes); }

  /// A view of the map, or a copy. kCorrupt when the file has no such matrix; then lacks() is true.
  Result<Tensor> place(const PanelMatrix& matrix, PackRows pack) override;
  bool lacks() const { return lacks_; }

 private:
  PackedLabel label_;
  Tensor map_;  // i8 [bytes]
  int64_t index_offset_ = 0;
  std::unordered_map<std::string, int64_t> offsets_;
  int64_t memory_left_ = 0;
  bool lacks_ = false;
};

/// Writes a packed file with bounded memory: panels go through a small buffer, and what is waiting
/// to be written to the disk is bounded, too, because a cgroup's limit counts it.
///
/// Of several processes that make the same file one writes and the others wait for the lock on its
/// temporary file, PATH.part. What a killed process left there is overwritten.
class PackedFileWriter final : public PanelStore {
 public:
  /// Called often, with the bytes that are packed; false stops with kInterrupted.
  using Progress = FunctionRef<bool(uint64_t bytes)>;

  /// Waits for the lock. `progress` must outlive the writer.
  static Result<PackedFileWriter> create(const std::filesystem::path& path, Progress progress);
  PackedFileWriter(PackedFileWriter&& other) noexcept;
  PackedFileWriter& operator=(PackedFileWriter&&) = delete;
  /// Without commit() nothing is left behind.
  ~PackedFileWriter() override;

  /// kWillNotFit, with the numbers, when the disk has not room for so many bytes.
  Result<void> check_room(uint64_t bytes) const;
  /// Writes the panels; the tensor is undefined. Errors: those of `pack`, kWillNotFit when the disk
  /// is full, kFailed, kInterrupted.
  Result<Tensor> place(const PanelMatrix& matrix, PackRows pack) override;
  /// Whether a process is writing the temporary file `part` now.
  static bool is_in_work(const std::filesystem::path& part);
  /// Puts the file in its place.
  Result<void> commit(const PackedLabel& label);

 private:
  PackedFileWriter(std::filesystem::path path, int fd, Progress progress)
      : path_(std::move(path)), fd_(fd), progress_(progress) {}
  Result<void> write(const void* data, size_t bytes);
  void write_behind();

  std::filesystem::path path_;
  int fd_ = -1;  // of PATH.part, locked; -1: moved from or committed
  Progress progress_;
  std::vector<std::pair<std::string, int64_t>> offsets_;
  std::vector<std::byte> buffer_;
  int64_t size_ = 0;      // bytes written
  int64_t started_ = 0;   // of these, on their way to the disk
  int64_t finished_ = 0;  // of these, there
};

}  // namespace minke
