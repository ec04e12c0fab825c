#pragma once
#include <cstdint>
#include <cstring>

#include "minke/base/check.h"
#include "minke/dtype/dtype.h"

// Sums in a fixed order and the choice between f32 and f64, for kernels that go through rows.
// Internal linkage throughout, as in exp.h.
namespace minke::kernels {

/// Sixteen numbers as vectors of 16 bytes, which every target has: the compiler keeps an array of
/// these in registers, and wider vectors it does not have in memory.
template <class T>
struct Lanes {
  using Vector __attribute__((vector_size(16))) = T;
  static constexpr int kVectors = 16 * sizeof(T) / 16;
  Vector parts[kVectors];

  static Lanes load(const T* from) {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
  }
  void store(T* to) const { std::memcpy(to, this, sizeof *this); }
  /// this += a * b, not fused.
  void add_product(const Lanes& a, const Lanes& b) {
    for (int i = 0; i < kVectors; ++i) parts[i] += a.parts[i] * b.parts[i];
  }
  void add_product(const Lanes& a, T b) {
    for (int i = 0; i < kVectors; ++i) parts[i] += a.parts[i] * b;
  }
};

/// The sum of sixteen partial sums in a tree: 8 apart, 4, 2, 1.
template <class T>
static inline T tree_sum(T (&lanes)[16]) {
  for (int apart = 8; apart > 0; apart /= 2) {
    for (int lane = 0; lane < apart; ++lane) lanes[lane] += lanes[lane + apart];
  }
  return lanes[0];
}

/// Sum over i of term(i), i = 0..count-1: lane i % 16 adds its terms in order, then tree_sum(). The
/// order depends on `count` only. `T` is the type of the sum.
template <class T, class Term>
static inline T lane_sum(int64_t count, Term term) {
  T lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    decltype(term(i)) terms[16];
    for (int lane = 0; lane < 16; ++lane) terms[lane] = term(i + lane);
    for (int lane = 0; lane < 16; ++lane) lanes[lane] += static_cast<T>(terms[lane]);
  }
  for (int lane = 0; i + lane < count; ++lane) lanes[lane] += static_cast<T>(term(i + lane));
  return tree_sum(lanes);
}

/// a . b in the order of lane_sum().
template <class T>
static inline T dot(const T* a, const T* b, int64_t count) {
  Lanes<T> sums{};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) sums.add_product(Lanes<T>::load(a + i), Lanes<T>::load(b + i));
  T lanes[16];
  sums.store(lanes);
  for (int lane = 0; i + lane < count; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  return tree_sum(lanes);
}

/// Calls fn(float{}) or fn(double{}) as `dtype` says; other formats abort.
template <class Fn>
static inline void with_float_type(const char* op, DType dtype, Fn fn) {
  MK_CHECK(dtype == DType::kF32 || dtype == DType::kF64, "{}: needs f32 or f64, not {}", op,
           dtype_info(dtype).name);
  if (dtype == DType::kF32) {
    fn(float{});
  } else {
    fn(double{});
  }
}

/// Rows a thread takes at once: about 16 Ki elements, so that the shared counter costs nothing and
/// a single row stays on the calling thread.
[[maybe_unused]] static inline int64_t row_grain(int64_t cols) {
  constexpr int64_t kElements = 16384;
  return cols >= kElements ? 1 : kElements / (cols > 0 ? cols : 1);
}

}  // namespace minke::kernels
