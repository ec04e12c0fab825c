#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/format/weight_file.h"

namespace minke {

/// Type numbers of GGUF metadata values, as they stand in the file.
enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

/// The type in words: "u8", "string", "array"; "?" for a number that GGUF does not define.
const char* gguf_type_name(GgufType type);

/// An array in the file's map, already checked; iterate it in place.
///
///     for (std::string_view token : array.strings()) ...
class GgufArray {
 public:
  /// Walks the strings of a string array: each is a u64 length and then its bytes.
  class StringIterator {
   public:
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    explicit StringIterator(const std::byte* at = nullptr) : at_(at) {}
    std::string_view operator*() const {
      return {reinterpret_cast<const char*>(at_) + 8, static_cast<size_t>(length())};
    }
    StringIterator& operator++() {
      at_ += 8 + length();
      return *this;
    }
    StringIterator operator++(int) {
      StringIterator before = *this;
      ++*this;
      return before;
    }
    friend bool operator==(const StringIterator&, const StringIterator&) = default;

   private:
    uint64_t length() const {
      uint64_t length;
      std::memcpy(&length, at_, sizeof length);
      return length;
    }
    const std::byte* at_;
  };
  struct Strings {
    StringIterator begin_at;
    StringIterator end_at;
    StringIterator begin() const { return begin_at; }
    StringIterator end() const { return end_at; }
  };

  GgufArray() = default;
  GgufArray(GgufType element_type, uint64_t count, std::span<const std::byte> bytes)
      : element_type_(element_type), count_(count), bytes_(bytes) {}

  GgufType element_type() const { return element_type_; }
  uint64_t size() const { return count_; }
  /// The elements as they stand in the file (unaligned).
  std::span<const std::byte> bytes() const { return bytes_; }
  /// The strings; the element type must be kString (MK_CHECK).
  Strings strings() const;
  /// Copies the numbers out; T is int32_t, uint32_t, float, ... with the element's own size. Error
  /// kCorrupt (naming `key`) when the elements are of another type.
  template <class T>
  Result<std::vector<T>> numbers(std::string_view key) const;

 private:
  GgufType element_type_ = GgufType::kU8;
  uint64_t count_ = 0;
  std::span<const std::byte> bytes_;
};

/// A metadata value in the file's map, already checked.
struct GgufValue {
  GgufType type = GgufType::kU8;
  GgufType element_type = GgufType::kU8;  ///< of an array
  uint64_t count = 1;                     ///< elements of an array
  std::span<const std::byte> bytes;  ///< a scalar's bytes, a string's text, an array's elements

  bool is_array() const { return type == GgufType::kArray; }
  bool is_string() const { return type == GgufType::kString; }
  /// The string's text; must be one (MK_CHECK).
  std::string_view as_string() const;
  /// The array; must be one (MK_CHECK).
  GgufArray as_array() const;
};

/// A metadata key and its value.
struct GgufEntry {
  std::string_view key;  ///< in the map
  GgufValue value;
};

/// A GGUF file, version 2 or 3, little-endian, read in place from its map.
///
///     magic "GGUF" | u32 version | u64 tensors | u64 metadata entries
///     entry:  string key | u32 type | value             string: u64 length | bytes
///     tensor: string name | u32 dims | u64 size per dim, innermost first | u32 ggml type | u64
///     offset padding to general.alignment (32) | tensor data, each at its offset
///
/// Every count, offset and product is checked against the file's size before anything is allocated
/// for it. A file that lies gives kCorrupt and names the field; nothing in a file reaches a check.
/// Views (GgufValue, WeightInfo::bytes) live as long as this object; moving it keeps them valid.
/// Reading from several threads is allowed.
class GgufFile final : public WeightFile {
 public:
  /// Maps and parses the file; of a split model (NAME-00001-of-00003.gguf) all of its parts,
  /// whichever is given: metadata from the first, tensors of all. kNotFound (naming the part that
  /// is missing), kFailed (cannot be read) or kCorrupt.
  static Result<GgufFile> open(const std::filesystem::path& path);
  /// Parses bytes in memory, which must outlive the result. `name` stands in error messages.
  static Result<GgufFile> parse(std::span<const std::byte> bytes, std::string_view name = "gguf");

  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  /// Of all parts.
  uint64_t file_bytes() const { return file_bytes_; }
  /// The parts; none when parsed from memory.
  std::span<const MappedFile> maps() const { return maps_; }
  const std::vector<GgufEntry>& metadata() const { return metadata_; }

  /// The value of that key, or nullptr.
  const GgufValue* find_value(std::string_view key) const;
  /// Typed access. The plain forms fail with kCorrupt when the key is missing or of another kind;
  /// the
  /// `_or` forms give `missing` when there is no such key. get_uint takes every integer type that
  /// holds a value >= 0; get_float takes f32, f64 and integers.
  Result<uint64_t> get_uint(std::string_view key) const;
  Result<uint64_t> get_uint_or(std::string_view key, uint64_t missing) const;
  Result<double> get_float(std::string_view key) const;
  Result<double> get_float_or(std::string_view key, double missing) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<bool> get_bool_or(std::string_view key, bool missing) const;
  Result<std::string_view> get_string(std::string_view key) const;
  Result<std::string_view> get_string_or(std::string_view key, std::string_view missing) const;
  Result<GgufArray> get_array(std::string_view key) const;

  /// All metadata as one JSON object in the file's order. A longer array than `array_items_max`
  /// becomes {"array_of": type, "count": n, "first": [...]}.
  Json metadata_json(int array_items_max) const;

  const std::vector<WeightInfo>& weights() const override { return weights_; }
  const WeightInfo* find(std::string_view name) const override;
  void drop(std::span<const std::byte> bytes) const override;
  /// Drops the pages of header and metadata (a tokenizer that was built has copied what it needs).
  void drop_metadata() const;

 private:
  friend class GgufParser;

  static Result<GgufFile> open_part(const std::filesystem::path& path);
  void append(GgufFile&& part);  // its tensors; index_weights() must follow
  Result<void> index_weights(std::string_view file_name);

  std::vector<MappedFile> maps_;      // of each part; empty when parsed from memory
  std::span<const std::byte> bytes_;  // of the part with the metadata
  uint64_t file_bytes_ = 0;
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  uint64_t data_offset_ = 0;
  std::vector<GgufEntry> metadata_;
  std::vector<uint32_t> metadata_by_key_;  // indices into metadata_, sorted by key
  std::vector<WeightInfo> weights_;
  std::vector<uint32_t> weights_by_name_;  // indices into weights_, sorted by name
};

/// The GGUF type number of a C++ number type.
template <class T>
constexpr GgufType gguf_type_of() {
  if constexpr (std::is_same_v<T, bool>) return GgufType::kBool;
  if constexpr (std::is_same_v<T, uint8_t>) return GgufType::kU8;
  if constexpr (std::is_same_v<T, int8_t>) return GgufType::kI8;
  if constexpr (std::is_same_v<T, uint16_t>) return GgufType::kU16;
  if constexpr (std::is_same_v<T, int16_t>) return GgufType::kI16;
  if constexpr (std::is_same_v<T, uint32_t>) return GgufType::kU32;
  if constexpr (std::is_same_v<T, int32_t>) return GgufType::kI32;
  if constexpr (std::is_same_v<T, uint64_t>) return GgufType::kU64;
  if constexpr (std::is_same_v<T, int64_t>) return GgufType::kI64;
  if constexpr (std::is_same_v<T, float>) return GgufType::kF32;
  if constexpr (std::is_same_v<T, double>) return GgufType::kF64;
}

template <class T>
Result<std::vector<T>> GgufArray::numbers(std::string_view key) const {
  static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>);
  if (element_type_ != gguf_type_of<T>()) {
    return fail(ErrorCode::kCorrupt, "gguf: '{}' is an array of {}, expected {}", key,
                gguf_type_name(element_type_), gguf_type_name(gguf_type_of<T>()));
  }
  std::vector<T> out(count_);
  if (count_ > 0) std::memcpy(out.data(), bytes_.data(), count_ * sizeof(T));
  return out;
}

}  // namespace minke
