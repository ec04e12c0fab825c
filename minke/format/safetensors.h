#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/files.h"
#include "minke/format/fp8_scales.h"
#include "minke/format/weight_file.h"

namespace minke {

/// Weights in Hugging Face's format, read in place from the map:
///
///     u64 header bytes | header: JSON {NAME: {"dtype", "shape", "data_offsets": [begin, end]},
///     ...} | data: row-major numbers, each tensor at its offsets
///
/// in one file or in shards that an index names (model.safetensors.index.json). Files are read as
/// hostile: an error is kCorrupt and names file and tensor. Tensors of types or shapes that minke
/// has no use for (i64, bool, five dimensions) are left out of weights(), see skipped(). Moving
/// keeps views valid. Reading from several threads is allowed.
class SafetensorsFile final : public SortedWeights {
 public:
  /// Opens a .safetensors file, or an index (.json) and all of its shards, which lie beside it.
  /// kNotFound (naming the shard that is missing), kFailed or kCorrupt.
  static Result<SafetensorsFile> open(const std::filesystem::path& path);
  /// Parses one file's bytes, which must outlive the result. `name` stands in error messages.
  static Result<SafetensorsFile> parse(std::span<const std::byte> bytes,
                                       std::string_view name = "safetensors");

  /// Gives FP8 matrices their scales, see attach_fp8_scales().
  Result<void> attach_scales(const Fp8Blocks& blocks) {
    return attach_fp8_scales(weights_, blocks);
  }
  void drop(std::span<const std::byte> bytes) const override;
  uint64_t file_bytes() const { return file_bytes_; }
  /// The files; none when parsed from memory.
  std::span<const MappedFile> maps() const { return maps_; }
  /// What the headers say of each tensor that is not among weights(): "NAME (I64 [3])".
  const std::vector<std::string>& skipped() const { return skipped_; }

 private:
  Result<void> add_tensors(std::span<const std::byte> bytes, std::string_view file_name);
  Result<void> add_file(const std::filesystem::path& path);
  Result<void> sort_and_check(std::string_view file_name);

  std::vector<MappedFile> maps_;  // empty when parsed from memory
  uint64_t file_bytes_ = 0;
  std::vector<std::string> skipped_;
};

/// The files that an index's "weight_map" names, sorted, each once; kCorrupt for a name that is
/// not that of a file beside it. `name` stands in error messages.
Result<std::vector<std::string>> parse_safetensors_index(std::string_view json,
                                                         std::string_view name = "index");

/// What the format calls a number format, "BF16"; MK_CHECK that it has one: block formats have
/// none.
std::string_view safetensors_type_name(DType dtype);

}  // namespace minke
