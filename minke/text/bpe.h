#pragma once
#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace minke {

/// A run of bytes that the merges have joined.
struct BpeSymbol {
  int32_t id = -1;     ///< -1 for a byte or character that no symbol stands for
  uint32_t begin = 0;  ///< in the piece
  uint32_t end = 0;
};

/// The merges of a BPE over symbol ids (Sennrich et al. 2016: of all adjacent pairs, join the one
/// whose merge has the lowest rank, the leftmost of equals, until none is left).
class Bpe {
 public:
  /// Memory that merge() uses again from call to call. One thread at a time.
  struct Scratch {
    std::vector<BpeSymbol> symbols;
    std::vector<uint64_t> pairs;  // of (symbol, next symbol): rank << 32 | merge, or kNoPair
    std::vector<int32_t> next;
    std::vector<int32_t> previous;
    std::vector<uint64_t> heap;  // rank << 32 | index of the left symbol, lowest first
  };

  Bpe() { symbol_of_byte_.fill(-1); }

  /// Makes room for that many merges.
  void reserve(size_t num_merges);
  void set_byte(uint8_t byte, int32_t symbol) { symbol_of_byte_[byte] = symbol; }
  int32_t symbol_of_byte(uint8_t byte) const { return symbol_of_byte_[byte]; }
  /// Adds a merge, ranked after those before. A pair that has one already keeps it.
  void add_merge(int32_t left, int32_t right, int32_t merged) {
    add_merge(left, right, merged, static_cast<uint32_t>(merges_.size()));
  }
  /// The same with a rank below 2^32 - 1, which several merges may share.
  void add_merge(int32_t left, int32_t right, int32_t merged, uint32_t rank);

  /// The symbols of a piece of less than 2^31 bytes, which starts as one symbol a byte; the result
  /// lives in `scratch`.
  const std::vector<BpeSymbol>& merge(std::string_view piece, Scratch& scratch) const;
  /// The same for a piece that starts as scratch.symbols. Up to kShortMax symbols take quadratic
  /// time without a heap, more n log n.
  const std::vector<BpeSymbol>& merge_symbols(Scratch& scratch) const;

  /// Above this the heap is faster; at most words are 4 to 8 bytes.
  static constexpr size_t kShortMax = 48;

 private:
  static constexpr uint32_t kNoMerge = ~uint32_t{0};
  static constexpr uint64_t kNoPair = ~uint64_t{0};
  struct Merge {
    uint64_t pair = 0;  // left << 32 | right
    int32_t merged = 0;
    uint32_t rank = 0;
  };
  static uint64_t pair_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t pair) const;
  uint64_t find(const BpeSymbol& left, const BpeSymbol& right) const;
  void merge_short(Scratch& scratch) const;
  void merge_long(Scratch& scratch) const;
  void update_pair(int32_t left, Scratch& scratch) const;

  std::array<int32_t, 256> symbol_of_byte_;
  // Open addressing, at most half full: indices only, so that the table stays in the second-level
  // cache (0.5 MB for 49k merges against 2 MB with the merges themselves).
  std::vector<uint32_t> slots_ = std::vector<uint32_t>(2, kNoMerge);
  std::vector<Merge> merges_;
};

}  // namespace minke
