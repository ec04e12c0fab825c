#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "minke/base/random.h"

namespace minke {

/// The pairs of neighbouring characters that some merge joins. Text can be cut between all others
/// before merging: no token lies across. Words of SentencePiece come out of this without a rule of
/// their own, and so do small pieces of scripts without spaces, which can be cached.
class Joints {
 public:
  /// A character that no merge joins, for bytes that are none.
  static constexpr uint32_t kNone = ~uint32_t{0};

  void add(uint32_t left, uint32_t right) {
    if (left < 128 && right < 128) {
      ascii_[left][right / 64] |= uint64_t{1} << (right % 64);
    } else {
      wide_.push_back(uint64_t{left} << 32 | right);
    }
  }

  /// To be called once, after the last add().
  void finish() {
    std::sort(wide_.begin(), wide_.end());
    wide_.erase(std::unique(wide_.begin(), wide_.end()), wide_.end());
    slots_.assign(std::bit_ceil(wide_.size() * 2 + 2), kEmpty);
    for (const uint64_t pair : wide_) slots_[slot_of(pair)] = pair;
    wide_ = {};
  }

  bool joins(uint32_t left, uint32_t right) const {
    if (left < 128 && right < 128) return (ascii_[left][right / 64] >> (right % 64) & 1) != 0;
    const uint64_t pair = uint64_t{left} << 32 | right;
    return slots_[slot_of(pair)] == pair && pair != kEmpty;
  }

 private:
  static constexpr uint64_t kEmpty = ~uint64_t{0};

  size_t slot_of(uint64_t pair) const {
    const size_t mask = slots_.size() - 1;
    size_t at = mix64(pair) & mask;
    while (slots_[at] != kEmpty && slots_[at] != pair) at = (at + 1) & mask;
    return at;
  }

  std::array<std::array<uint64_t, 2>, 128> ascii_{};  // a bit for each pair
  std::vector<uint64_t> wide_;                        // the other pairs until finish()
  std::vector<uint64_t> slots_ = {kEmpty, kEmpty};    // the same, open addressing
};

}  // namespace minke
