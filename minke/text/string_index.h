#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "minke/base/random.h"

namespace minke {

/// A hash of bytes, eight at a time; the same on every run.
inline uint64_t hash_bytes(std::string_view text) {
  uint64_t hash = text.size();
  const char* at = text.data();
  size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    hash = std::rotl((hash ^ word) * 0x9E3779B97F4A7C15ULL, 29);
  }
  uint64_t word = 0;
  for (size_t i = 0; i < left; ++i) {
    word |= static_cast<uint64_t>(static_cast<uint8_t>(at[i])) << (8 * i);
  }
  return mix64(hash ^ word);
}

/// Finds the id of a text among texts that live elsewhere. A flat table with linear probing, at
/// most half full; a slot is 32 bits of the hash and the id, so a miss rarely looks at a text.
/// `text_of` is a callable from id to std::string_view, the same for every call.
class StringIndex {
 public:
  /// Room for `count` texts.
  explicit StringIndex(size_t count = 0) : slots_(std::bit_ceil(count * 2 + 2), kEmpty) {}

  /// Adds the text of `id`; a later id of the same text replaces the earlier.
  template <class TextOf>
  void insert(int32_t id, const TextOf& text_of) {
    const std::string_view text = text_of(id);
    const uint64_t hash = hash_bytes(text);
    slots_[slot_of(text, hash, text_of)] = (hash & kHashMask) | static_cast<uint32_t>(id);
  }

  template <class TextOf>
  std::optional<int32_t> find(std::string_view text, const TextOf& text_of) const {
    const uint64_t slot = slots_[slot_of(text, hash_bytes(text), text_of)];
    if (slot == kEmpty) return std::nullopt;
    return static_cast<int32_t>(slot);
  }

 private:
  static constexpr uint64_t kHashMask = 0xFFFFFFFF00000000ULL;
  static constexpr uint64_t kEmpty = ~uint64_t{0};  // Ids are >= 0, so no slot looks like this.

  /// The slot that holds the text, or the empty one where it would go.
  template <class TextOf>
  size_t slot_of(std::string_view text, uint64_t hash, const TextOf& text_of) const {
    const size_t mask = slots_.size() - 1;
    size_t at = hash & mask;
    while (slots_[at] != kEmpty) {
      const bool same_hash = (slots_[at] & kHashMask) == (hash & kHashMask);
      if (same_hash && text_of(static_cast<int32_t>(slots_[at])) == text) break;
      at = (at + 1) & mask;
    }
    return at;
  }

  std::vector<uint64_t> slots_;
};

}  // namespace minke
