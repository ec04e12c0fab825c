#pragma once
#include <cmath>
#include <cstdint>

namespace minke {

/// Mixes 64 bits (splitmix64's finaliser): a good hash of a counter.
inline uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// A random draw as a function of seed and counter, so that a sampled token depends on the
/// request's seed and its position only (DESIGN 4.6).
inline uint64_t random_at(uint64_t seed, uint64_t counter) { return mix64(mix64(seed) ^ counter); }

/// Uniform in [0, 1) with 53 bits.
inline double uniform_at(uint64_t seed, uint64_t counter) {
  return static_cast<double>(random_at(seed, counter) >> 11) * 0x1.0p-53;
}

/// A sequence of draws with a seed. The same seed gives the same sequence on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : seed_(seed) {}
  uint64_t next() { return random_at(seed_, counter_++); }
  double uniform() { return uniform_at(seed_, counter_++); }
  /// Uniform integer in [0, bound), bound > 0 (the bias of bound / 2^64 is accepted).
  uint64_t below(uint64_t bound) { return next() % bound; }
  /// Standard normal (Box-Muller, one of the pair).
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }

 private:
  uint64_t seed_;
  uint64_t counter_ = 0;
};

}  // namespace minke
