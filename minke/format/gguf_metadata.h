#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "minke/format/gguf.h"

namespace minke {

/// The keys and values of a GGUF file that will be written, in order. A key that is added again
/// keeps its place and gets the new value.
class GgufMetadata {
 public:
  /// A scalar; T is bool, a sized integer, float or double and sets the value's type.
  template <class T>
    requires std::is_arithmetic_v<T>
  void add(std::string_view key, T value) {
    add_bytes(key, gguf_type_of<T>(), std::as_bytes(std::span(&value, 1)));
  }
  void add(std::string_view key, std::string_view text);
  void add(std::string_view key, const char* text) { add(key, std::string_view(text)); }
  /// An array of numbers.
  template <class T>
  void add_array(std::string_view key, std::span<const T> values) {
    add_array_bytes(key, gguf_type_of<T>(), values.size(), std::as_bytes(values));
  }
  /// An array of strings.
  void add_array(std::string_view key, const std::vector<std::string>& texts);

  /// A value as another file has it, of whatever type.
  void add(std::string_view key, const GgufValue& value);
  /// All of another file's, but what is about that file alone: its alignment and its split.
  void copy(const GgufFile& file);
  /// Takes the key away, if it is there.
  void remove(std::string_view key);

  size_t size() const { return entries_.size(); }
  /// Appends the entries as a file has them.
  void append_to(std::string& out) const;

 private:
  struct Entry {
    std::string key;
    std::string bytes;  // the type, then the value
  };
  void add_bytes(std::string_view key, GgufType type, std::span<const std::byte> value);
  void add_array_bytes(std::string_view key, GgufType element_type, uint64_t count,
                       std::span<const std::byte> elements);

  std::vector<Entry> entries_;
};

}  // namespace minke
