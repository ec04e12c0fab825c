#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace minke {

/// A run of bytes that the merges have joined.
struct BpeSymbol {
  int32_t id = -1;     ///< -1 for a byte that no symbol stands for
  uint32_t begin = 0;  ///< in the piece
  uint32_t end = 0;
};

/// The merges of a byte-level BPE over symbol ids (Sennrich et al. 2016: of all adjacent pairs,
/// join the one whose merge was learned first, the leftmost of equals, until none is left).
class Bpe {
 public:
  /// Memory that merge() uses again from call to call. One thread at a time.
  struct Scratch {
    std::vector<BpeSymbol> symbols;
    std::vector<uint32_t> ranks;  // of the pair (symbol, next symbol); kNoRank where there is none
    std::vector<int32_t> next;
    std::vector<int32_t> previous;
    std::vector<uint64_t> heap;  // rank << 32 | index of the left symbol, lowest first
  };

  Bpe() { symbol_of_byte_.fill(-1); }

  /// Makes room for that many merges.
  void reserve(size_t num_merges);
  void set_byte(uint8_t byte, int32_t symbol) { symbol_of_byte_[byte] = symbol; }
  /// Adds the next merge. A pair that has one already keeps it.
  void add_merge(int32_t left, int32_t right, int32_t merged);

  /// The symbols of a piece of less than 2^31 bytes; the result lives in `scratch`. Pieces of up to
  /// kShortBytesMax bytes take quadratic time without a heap, longer ones n log n.
  const std::vector<BpeSymbol>& merge(std::string_view piece, Scratch& scratch) const;

  /// Above this the heap is faster; at most words are 4 to 8 bytes.
  static constexpr size_t kShortBytesMax = 48;

 private:
  static constexpr uint32_t kNoRank = ~uint32_t{0};
  static uint64_t pair_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t pair) const;
  uint32_t rank_of(int32_t left, int32_t right) const {
    return left < 0 || right < 0 ? kNoRank : slots_[slot_of(pair_of(left, right))];
  }
  void merge_short(Scratch& scratch) const;
  void merge_long(Scratch& scratch) const;
  void update_rank(int32_t left, Scratch& scratch) const;

  std::array<int32_t, 256> symbol_of_byte_;
  // Open addressing, at most half full: ranks only, so that the table stays in the second-level
  // cache (0.5 MB for 49k merges against 2 MB with the pairs beside).
  std::vector<uint32_t> slots_ = std::vector<uint32_t>(2, kNoRank);
  std::vector<uint64_t> pairs_;  // by rank
  std::vector<int32_t> merged_;  // by rank
};

}  // namespace minke
