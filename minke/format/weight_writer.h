#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "minke/base/atomic_file.h"
#include "minke/base/result.h"
#include "minke/dtype/dtype.h"
#include "minke/format/gguf_metadata.h"
#include "minke/tensor/shape.h"

namespace minke {

/// A tensor that a file will have; WeightInfo without the bytes.
struct WeightDeclaration {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;

  uint64_t bytes() const { return static_cast<uint64_t>(dtype_bytes(dtype, shape.num_elements())); }
};

/// Writes a file of tensors (or several) whose headers are known beforehand, in bounded memory:
///
/// 1. create_gguf() or create_safetensors() take the tensors' names, formats and shapes;
/// 2. write() is called with the tensors' bytes, one tensor after the other in that order, in
///    pieces of any size;
/// 3. finish() puts the files in their places. Without it nothing is left behind.
///
/// Errors are AtomicFile's. Moving is allowed; one thread at a time.
class WeightWriter {
 public:
  /// The next bytes; must not be more than the tensors declared have (MK_CHECK).
  Result<void> write(std::span<const std::byte> bytes);
  /// All bytes must have been written (MK_CHECK).
  Result<void> finish();
  /// Bytes of all tensors together.
  uint64_t total_bytes() const { return total_bytes_; }

 private:
  friend Result<WeightWriter> create_gguf(const std::filesystem::path&, const GgufMetadata&,
                                          std::span<const WeightDeclaration>);
  friend Result<WeightWriter> create_safetensors(const std::filesystem::path&,
                                                 std::span<const WeightDeclaration>, uint64_t);
  friend Result<WeightWriter> create_safetensors_file(const std::filesystem::path&,
                                                      std::span<const WeightDeclaration>);

  explicit WeightWriter(uint64_t alignment) : alignment_(alignment) {}
  /// Opens a file that begins with `header` and goes on with `tensors`.
  Result<void> add_file(const std::filesystem::path& path, std::string_view header,
                        std::span<const WeightDeclaration> tensors);
  Result<void> skip_finished();

  struct Segment {
    size_t file = 0;  ///< index into files_
    uint64_t bytes_left = 0;
    uint64_t padding = 0;  ///< zeros after it
  };
  uint64_t alignment_;  ///< of each tensor's end in its file
  std::vector<AtomicFile> files_;
  std::vector<Segment> segments_;  // of each tensor
  size_t next_ = 0;                // into segments_
  uint64_t total_bytes_ = 0;
};

/// A GGUF file, version 3. Every tensor's format must have a type in GGUF, names and keys must
/// differ (MK_CHECK of the first; the reader refuses the second).
Result<WeightWriter> create_gguf(const std::filesystem::path& path, const GgufMetadata& metadata,
                                 std::span<const WeightDeclaration> tensors);

inline constexpr uint64_t kShardBytesMax = 5'000'000'000;  // as Hugging Face's save_pretrained

/// model.safetensors in `folder`; or, when the tensors have more than `shard_bytes_max`, shards
/// model-00001-of-00003.safetensors, each of at most so many (one tensor is never cut), and
/// model.safetensors.index.json. Every tensor's format must have a name in safetensors
/// (safetensors_type_name()).
Result<WeightWriter> create_safetensors(const std::filesystem::path& folder,
                                        std::span<const WeightDeclaration> tensors,
                                        uint64_t shard_bytes_max = kShardBytesMax);

/// The same in one file of any name.
Result<WeightWriter> create_safetensors_file(const std::filesystem::path& path,
                                             std::span<const WeightDeclaration> tensors);

}  // namespace minke
