#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/format/gguf_metadata.h"
#include "minke/format/weight_writer.h"

namespace minke {

/// A GGUF version 3 file up to the first tensor's data; see GgufFile for the layout. `alignment` is
/// that of the tensors' data, a power of two from 8; the metadata must say so when it is not 32.
std::string gguf_header(const GgufMetadata& metadata, std::span<const WeightDeclaration> tensors,
                        uint64_t alignment);

/// Builds a small GGUF file in memory: metadata and tensors in the order of the calls. Tensors'
/// names must differ (the reader refuses duplicates; the writer does not look). Large ones are
/// written by create_gguf().
///
///     GgufWriter writer;
///     writer.add("general.architecture", "llama");
///     writer.add_tensor("output.weight", DType::kF32, {2, 3}, bytes);
///     MK_TRY(writer.write(path));
class GgufWriter : public GgufMetadata {
 public:
  /// `alignment` of the tensors' data: a power of two from 8; written when it is not the default.
  explicit GgufWriter(uint32_t alignment = 32);

  /// A tensor, outermost dimension first; `bytes` must be exactly what dtype and shape need
  /// (MK_CHECK) and is copied.
  void add_tensor(std::string_view name, DType dtype, const Shape& shape,
                  std::span<const std::byte> bytes);

  /// The file's bytes.
  std::string serialize() const;
  /// Writes them so that the old file or the new one is there, never a part.
  Result<void> write(const std::filesystem::path& path) const;

 private:
  uint32_t alignment_;
  std::vector<WeightDeclaration> tensors_;
  std::string data_;
};

}  // namespace minke
