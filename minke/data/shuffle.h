#pragma once
#include <bit>
#include <cstdint>

#include "minke/base/random.h"

namespace minke {

/// Item `index` of a seeded shuffle of 0 .. count - 1, without a table: a Feistel network of four
/// rounds (Luby and Rackoff 1988) permutes the next power of four, and what falls outside goes
/// through it again, at most some four times on average.
inline uint64_t shuffled(uint64_t index, uint64_t count, uint64_t seed) {
  const int half = count > 1 ? (std::bit_width(count - 1) + 1) / 2 : 0;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  constexpr uint64_t kRounds = 4;
  do {
    uint64_t left = index >> half, right = index & mask;
    for (uint64_t round = 0; round < kRounds; ++round) {
      const uint64_t mixed = left ^ (random_at(seed + round, right) & mask);
      left = right;
      right = mixed;
    }
    index = left << half | right;
  } while (index >= count);
  return index;
}

}  // namespace minke
