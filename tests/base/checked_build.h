#pragma once
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace minke {

/// Whether this is a build with sanitizers or without optimisation, where a test takes ten to a
/// hundred times as long. What such builds are for (memory, overflow, undefined behaviour) is a
/// matter of code that ran, not of how often: there tests draw fewer samples, and hold against an
/// oracle only some of what they compute. The kernels of every level run all the same.
#ifdef MINKE_DEBUG
inline constexpr bool kCheckedBuild = true;
#else
inline constexpr bool kCheckedBuild = false;
#endif

/// `all`, or in checked builds `few` of them.
template <typename T>
std::vector<T> thinned(std::initializer_list<T> all, std::initializer_list<T> few) {
  return kCheckedBuild ? few : all;
}

/// Rows or columns from one that is compared with an oracle to the next: 1, in checked builds a
/// number that no panel, page or vector is a multiple of.
inline constexpr int64_t kOracleStep = kCheckedBuild ? 7 : 1;

}  // namespace minke
