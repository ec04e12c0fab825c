#include "minke/text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "minke/base/check.h"
#include "minke/base/random.h"

namespace minke {

void Bpe::reserve(size_t num_merges) {
  MK_CHECK(merged_.empty(), "bpe: reserve after {} merges", merged_.size());
  slots_.assign(std::bit_ceil(num_merges * 2 + 2), kNoRank);
  pairs_.reserve(num_merges);
  merged_.reserve(num_merges);
}

size_t Bpe::slot_of(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  size_t at = mix64(pair) & mask;
  while (slots_[at] != kNoRank && pairs_[slots_[at]] != pair) at = (at + 1) & mask;
  return at;
}

void Bpe::add_merge(int32_t left, int32_t right, int32_t merged) {
  MK_CHECK(merged_.size() * 2 < slots_.size(), "bpe: {} merges exceed what was reserved",
           merged_.size() + 1);
  MK_CHECK(left >= 0 && right >= 0 && merged >= 0, "bpe: merge {} {} -> {}", left, right, merged);
  const uint64_t pair = pair_of(left, right);
  uint32_t& slot = slots_[slot_of(pair)];
  if (slot != kNoRank) return;
  slot = static_cast<uint32_t>(merged_.size());
  pairs_.push_back(pair);
  merged_.push_back(merged);
}

const std::vector<BpeSymbol>& Bpe::merge(std::string_view piece, Scratch& scratch) const {
  MK_CHECK(piece.size() < (size_t{1} << 31), "bpe: a piece of {} bytes", piece.size());
  auto& symbols = scratch.symbols;
  symbols.resize(piece.size());
  for (uint32_t i = 0; i < symbols.size(); ++i) {
    symbols[i] = {symbol_of_byte_[static_cast<uint8_t>(piece[i])], i, i + 1};
  }
  scratch.ranks.assign(symbols.size(), kNoRank);
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    scratch.ranks[i] = rank_of(symbols[i].id, symbols[i + 1].id);
  }
  if (piece.size() <= kShortBytesMax) {
    merge_short(scratch);
  } else {
    merge_long(scratch);
  }
  return symbols;
}

void Bpe::merge_short(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& ranks = scratch.ranks;
  while (symbols.size() > 1) {
    const auto lowest = std::min_element(ranks.begin(), ranks.end());
    if (*lowest == kNoRank) return;
    const auto left = static_cast<size_t>(lowest - ranks.begin());
    symbols[left] = {merged_[*lowest], symbols[left].begin, symbols[left + 1].end};
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(left) + 1);
    ranks.erase(lowest);
    if (left > 0) ranks[left - 1] = rank_of(symbols[left - 1].id, symbols[left].id);
    ranks[left] =
        left + 1 < symbols.size() ? rank_of(symbols[left].id, symbols[left + 1].id) : kNoRank;
  }
}

/// Ranks the pair that begins at `left` anew and queues it. Older entries of the same place are
/// told by their rank, which no longer is ranks[left].
void Bpe::update_rank(int32_t left, Scratch& scratch) const {
  const int32_t right = scratch.next[left];
  const uint32_t rank =
      right < 0 ? kNoRank : rank_of(scratch.symbols[left].id, scratch.symbols[right].id);
  scratch.ranks[left] = rank;
  if (rank == kNoRank) return;
  scratch.heap.push_back(static_cast<uint64_t>(rank) << 32 | static_cast<uint32_t>(left));
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
}

void Bpe::merge_long(Scratch& scratch) const {
  auto& [symbols, ranks, next, previous, heap] = scratch;
  const auto count = static_cast<int32_t>(symbols.size());
  next.resize(symbols.size());
  previous.resize(symbols.size());
  heap.clear();
  for (int32_t i = 0; i < count; ++i) {
    next[i] = i + 1 < count ? i + 1 : -1;
    previous[i] = i - 1;
    if (ranks[i] == kNoRank) continue;
    heap.push_back(static_cast<uint64_t>(ranks[i]) << 32 | static_cast<uint32_t>(i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto rank = static_cast<uint32_t>(heap.back() >> 32);
    const auto left = static_cast<int32_t>(heap.back() & 0xFFFFFFFF);
    heap.pop_back();
    if (ranks[left] != rank) continue;
    const int32_t right = next[left];
    symbols[left] = {merged_[rank], symbols[left].begin, symbols[right].end};
    symbols[right].begin = symbols[right].end;  // Empty: joined to the left one.
    ranks[right] = kNoRank;
    next[left] = next[right];
    if (next[left] >= 0) previous[next[left]] = left;
    update_rank(left, scratch);
    if (previous[left] >= 0) update_rank(previous[left], scratch);
  }
  std::erase_if(symbols, [](const BpeSymbol& symbol) { return symbol.begin == symbol.end; });
}

}  // namespace minke
