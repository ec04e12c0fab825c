// Transposition in registers. Included inside a namespace, after a simd_*.h.

template <int... kIndex>
static Simd::F zip(Simd::F a, Simd::F b, int first, std::integer_sequence<int, kIndex...>) {
  constexpr int kHalf = Simd::kLanes / 2;
  if (first == 0) {
    return __builtin_shufflevector(a, b, (kIndex / 2 + kIndex % 2 * Simd::kLanes)...);
  }
  return __builtin_shufflevector(a, b, (kHalf + kIndex / 2 + kIndex % 2 * Simd::kLanes)...);
}

// The square of kLanes rows transposed: zipping rows that lie half the square apart, again and
// again, turns the bits of an index round.
static inline void transpose_square(const float* from, int64_t from_step, float* to,
                                    int64_t to_step) {
  constexpr int kLanes = Simd::kLanes;
  constexpr std::make_integer_sequence<int, kLanes> kAll;
  Simd::F rows[kLanes], zipped[kLanes];
  for (int i = 0; i < kLanes; ++i) rows[i] = Simd::load(from + i * from_step);
#pragma GCC unroll 4
  for (int done = 1; done < kLanes; done *= 2) {
#pragma GCC unroll 16
    for (int i = 0; i < kLanes / 2; ++i) {
      zipped[2 * i] = zip(rows[i], rows[i + kLanes / 2], 0, kAll);
      zipped[2 * i + 1] = zip(rows[i], rows[i + kLanes / 2], 1, kAll);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) rows[i] = zipped[i];
  }
  for (int i = 0; i < kLanes; ++i) Simd::store(to + i * to_step, rows[i]);
}

// 16 numbers of 16 rows, those of `to` side by side.
static inline void transpose_panel(const float* from, int64_t from_step, float* to) {
  for (int i = 0; i < kPanelRows; i += Simd::kLanes) {
    for (int j = 0; j < kPanelRows; j += Simd::kLanes) {
      transpose_square(from + i * from_step + j, from_step, to + j * kPanelRows + i, kPanelRows);
    }
  }
}
