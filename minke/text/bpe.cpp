#include "minke/text/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "minke/base/check.h"
#include "minke/base/random.h"

namespace minke {

void Bpe::reserve(size_t num_merges) {
  MK_CHECK(merges_.empty(), "bpe: reserve after {} merges", merges_.size());
  slots_.assign(std::bit_ceil(num_merges * 2 + 2), kNoMerge);
  merges_.reserve(num_merges);
}

size_t Bpe::slot_of(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  size_t at = mix64(pair) & mask;
  while (slots_[at] != kNoMerge && merges_[slots_[at]].pair != pair) at = (at + 1) & mask;
  return at;
}

uint64_t Bpe::find(const BpeSymbol& left, const BpeSymbol& right) const {
  if (left.id < 0 || right.id < 0) return kNoPair;
  const uint32_t merge = slots_[slot_of(pair_of(left.id, right.id))];
  return merge == kNoMerge ? kNoPair : static_cast<uint64_t>(merges_[merge].rank) << 32 | merge;
}

void Bpe::add_merge(int32_t left, int32_t right, int32_t merged, uint32_t rank) {
  MK_CHECK(merges_.size() * 2 < slots_.size(), "bpe: {} merges exceed what was reserved",
           merges_.size() + 1);
  MK_CHECK(left >= 0 && right >= 0 && merged >= 0, "bpe: merge {} {} -> {}", left, right, merged);
  MK_CHECK(rank < kNoMerge, "bpe: rank {}", rank);
  const uint64_t pair = pair_of(left, right);
  uint32_t& slot = slots_[slot_of(pair)];
  if (slot != kNoMerge) return;
  slot = static_cast<uint32_t>(merges_.size());
  merges_.push_back({pair, merged, rank});
}

const std::vector<BpeSymbol>& Bpe::merge(std::string_view piece, Scratch& scratch) const {
  MK_CHECK(piece.size() < (size_t{1} << 31), "bpe: a piece of {} bytes", piece.size());
  auto& symbols = scratch.symbols;
  symbols.resize(piece.size());
  for (uint32_t i = 0; i < symbols.size(); ++i) {
    symbols[i] = {symbol_of_byte_[static_cast<uint8_t>(piece[i])], i, i + 1};
  }
  return merge_symbols(scratch);
}

const std::vector<BpeSymbol>& Bpe::merge_symbols(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  scratch.pairs.assign(symbols.size(), kNoPair);
  for (size_t i = 0; i + 1 < symbols.size(); ++i) {
    scratch.pairs[i] = find(symbols[i], symbols[i + 1]);
  }
  if (symbols.size() <= kShortMax) {
    merge_short(scratch);
  } else {
    merge_long(scratch);
  }
  return symbols;
}

void Bpe::merge_short(Scratch& scratch) const {
  auto& symbols = scratch.symbols;
  auto& pairs = scratch.pairs;
  const auto lower_rank = [](uint64_t a, uint64_t b) { return a >> 32 < b >> 32; };
  while (symbols.size() > 1) {
    const auto lowest = std::min_element(pairs.begin(), pairs.end(), lower_rank);
    if (*lowest == kNoPair) return;
    const auto left = static_cast<size_t>(lowest - pairs.begin());
    symbols[left] = {merges_[static_cast<uint32_t>(*lowest)].merged, symbols[left].begin,
                     symbols[left + 1].end};
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(left) + 1);
    pairs.erase(lowest);
    if (left > 0) pairs[left - 1] = find(symbols[left - 1], symbols[left]);
    pairs[left] = left + 1 < symbols.size() ? find(symbols[left], symbols[left + 1]) : kNoPair;
  }
}

/// Looks the pair that begins at `left` up anew and queues it. Older entries of the same place are
/// told by their rank, which no longer is that of pairs[left].
void Bpe::update_pair(int32_t left, Scratch& scratch) const {
  const int32_t right = scratch.next[left];
  const uint64_t pair = right < 0 ? kNoPair : find(scratch.symbols[left], scratch.symbols[right]);
  scratch.pairs[left] = pair;
  if (pair == kNoPair) return;
  scratch.heap.push_back((pair >> 32) << 32 | static_cast<uint32_t>(left));
  std::push_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
}

void Bpe::merge_long(Scratch& scratch) const {
  auto& [symbols, pairs, next, previous, heap] = scratch;
  const auto count = static_cast<int32_t>(symbols.size());
  next.resize(symbols.size());
  previous.resize(symbols.size());
  heap.clear();
  for (int32_t i = 0; i < count; ++i) {
    next[i] = i + 1 < count ? i + 1 : -1;
    previous[i] = i - 1;
    if (pairs[i] == kNoPair) continue;
    heap.push_back((pairs[i] >> 32) << 32 | static_cast<uint32_t>(i));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto rank = heap.back() >> 32;
    const auto left = static_cast<int32_t>(heap.back() & 0xFFFFFFFF);
    heap.pop_back();
    if (pairs[left] >> 32 != rank) continue;
    const int32_t right = next[left];
    symbols[left] = {merges_[static_cast<uint32_t>(pairs[left])].merged, symbols[left].begin,
                     symbols[right].end};
    symbols[right].begin = symbols[right].end;  // Empty: joined to the left one.
    pairs[right] = kNoPair;
    next[left] = next[right];
    if (next[left] >= 0) previous[next[left]] = left;
    update_pair(left, scratch);
    if (previous[left] >= 0) update_pair(previous[left], scratch);
  }
  std::erase_if(symbols, [](const BpeSymbol& symbol) { return symbol.begin == symbol.end; });
}

}  // namespace minke
