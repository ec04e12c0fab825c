#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "minke/text/string_index.h"

namespace minke {

/// The pieces that one call of encode() has met, with the place of their ids in its result. Text
/// repeats its words: of English, 19 of 20 come from here. A fixed table in which a piece takes the
/// place of the one before with the same slot; both piece and ids stay where they are, so nothing
/// is copied. The pieces must outlive it.
class PieceCache {
 public:
  struct Entry {
    const char* text = nullptr;
    uint32_t bytes = 0;
    uint32_t num_ids = 0;
    size_t ids_begin = 0;  // in the result
    bool holds(std::string_view piece) const {
      return bytes == piece.size() && std::memcmp(text, piece.data(), bytes) == 0;
    }
  };

  /// Longer pieces hardly repeat.
  static constexpr size_t kPieceBytesMax = 64;

  explicit PieceCache(size_t text_bytes)
      : entries_(std::bit_ceil(std::clamp(text_bytes / 8, size_t{1}, kEntriesMax))) {}

  /// Where the piece is or may be put. Not for an empty piece.
  Entry& slot(std::string_view piece) {
    return entries_[hash_bytes(piece) & (entries_.size() - 1)];
  }

 private:
  static constexpr size_t kEntriesMax = size_t{1} << 15;  // 24 bytes each: half of a 2 MB cache
  std::vector<Entry> entries_;
};

}  // namespace minke
