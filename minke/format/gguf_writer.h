#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/format/gguf.h"
#include "minke/tensor/shape.h"

namespace minke {

/// Builds a GGUF version 3 file in memory: metadata and tensors in the order of the calls. Keys and
/// tensor names must differ (the reader refuses duplicates; the writer does not look).
///
///     GgufWriter writer;
///     writer.add("general.architecture", "llama");
///     writer.add_tensor("output.weight", DType::kF32, {2, 3}, bytes);
///     MK_TRY(writer.write(path));
class GgufWriter {
 public:
  /// `alignment` of the tensors' data: a power of two from 8; written when it is not the default.
  explicit GgufWriter(uint32_t alignment = 32);

  /// A scalar; T is bool, a sized integer, float or double and sets the value's type.
  template <class T>
    requires std::is_arithmetic_v<T>
  void add(std::string_view key, T value) {
    add_raw(key, gguf_type_of<T>(), std::as_bytes(std::span(&value, 1)));
  }
  void add(std::string_view key, std::string_view text);
  void add(std::string_view key, const char* text) { add(key, std::string_view(text)); }
  /// An array of numbers.
  template <class T>
  void add_array(std::string_view key, std::span<const T> values) {
    add_raw_array(key, gguf_type_of<T>(), values.size(), std::as_bytes(values));
  }
  /// An array of strings.
  void add_array(std::string_view key, const std::vector<std::string>& texts);
  /// A tensor, outermost dimension first; `bytes` must be exactly what dtype and shape need
  /// (MK_CHECK) and is copied.
  void add_tensor(std::string_view name, DType dtype, const Shape& shape,
                  std::span<const std::byte> bytes);

  /// The file's bytes.
  std::string serialize() const;
  /// Writes them so that the old file or the new one is there, never a part.
  Result<void> write(const std::filesystem::path& path) const;

 private:
  void add_raw(std::string_view key, GgufType type, std::span<const std::byte> value);
  void add_raw_array(std::string_view key, GgufType type, uint64_t count,
                     std::span<const std::byte> elements);

  uint32_t alignment_;
  uint64_t num_entries_ = 0;
  uint64_t num_tensors_ = 0;
  std::string entries_;
  std::string tensors_;
  std::string data_;
};

}  // namespace minke
