// y = x W^T with dot products of bf16 pairs. Included inside a namespace, after tile_impl.h.
//
// A step is two inputs: a lane of a weight vector holds both of one output, and each product of
// pairs is added to the output's f32 sum, step by step, so the bits of a row do not depend on the
// rows beside it.

// The instructions in asm: clang 16 dies of their intrinsics' types.

// `high` and `low` rounded to nearest even, 16 numbers each.
static inline __m512i round_both(Simd::F high, Simd::F low) {
  __m512i both;
  asm("vcvtne2ps2bf16 %2, %1, %0" : "=v"(both) : "v"(high), "v"(low));
  return both;
}
// sum + both products of each lane.
static inline Simd::F dot_pairs(Simd::F sum, __m512i a, __m512i w) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(w));
  return sum;
}

static constexpr int64_t kPairBytes = kPanelRows * 4;  // of a panel's weights for two inputs

// Two inputs' weights of a panel, 16 numbers each, as pairs. They are rounded to bf16 where they
// are not.
template <DType kW>
static inline __m512i load_pairs(const std::byte* p) {
  __m512i both;
  if constexpr (kW == DType::kBf16) {
    both = Simd::load_int(p);
  } else if constexpr (kW == DType::kF16) {
    const auto* at = reinterpret_cast<const uint16_t*>(p);
    both = round_both(Simd::load_f16(at + kPanelRows), Simd::load_f16(at));
  } else {
    const auto* at = reinterpret_cast<const float*>(p);
    both = round_both(Simd::load(at + kPanelRows), Simd::load(at));
  }
  const __m512i order = _mm512_or_si512(
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
      _mm512_slli_epi32(
          _mm512_setr_epi32(16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31), 16));
  return _mm512_permutexvar_epi16(order, both);
}

// Weights straight from packed panels, for few rows.
template <DType kW>
struct PackedPairs {
  static constexpr int64_t kInputBytes = kPanelRows * (kW == DType::kF32 ? 4 : 2);
  const std::byte* panels[4];

  __m512i pair(int p, int64_t step) const {
    return load_pairs<kW>(panels[p] + 2 * step * kInputBytes);
  }
};

// Weights expanded to pairs.
struct ExpandedPairs {
  const std::byte* panels[2];

  __m512i pair(int p, int64_t step) const { return Simd::load_int(panels[p] + step * kPairBytes); }
};

template <int kRows, int kPanels, class Weights>
static void bf16_tile(const ConstView& x, int64_t row, const Weights& weights,
                      const TileOutputs& out) {
  Simd::F f[kRows][kPanels];
  const uint16_t* a[kRows];
  for (int r = 0; r < kRows; ++r) {
    a[r] = x.row<uint16_t>(row + r);
    for (Simd::F& value : f[r]) value = Simd::zero();
  }
  for (int64_t step = 0; step < x.cols / 2; ++step) {
    __m512i w[kPanels];
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) w[p] = weights.pair(p, step);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Simd::I two = Simd::broadcast4(a[r] + 2 * step);
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) {
        f[r][p] = dot_pairs(f[r][p], two, w[p]);
      }
    }
  }
  store_tile<kRows, kPanels>(f, row, out);
}

// Tiles of kRows rows at most.
template <int kRows, int kPanels, class Weights>
static void bf16_tiles(const ConstView& x, const Weights& weights, const TileOutputs& out) {
  each_tile<kRows>(0, x.rows, [&]<int kTileRows>(int64_t row) {
    bf16_tile<kTileRows, kPanels>(x, row, weights, out);
  });
}

// kPanels panels from `p` on.
template <DType kW, int kPanels>
static void bf16_panels(const ConstView& x, const PackedView& w, const View& y, int64_t p,
                        std::byte* scratch) {
  const int64_t panel_bytes = w.cols * PackedPairs<kW>::kInputBytes;
  PackedPairs<kW> packed;
  for (int i = 0; i < kPanels; ++i) packed.panels[i] = w.data + (p + i) * panel_bytes;
  constexpr int kFewRows = 4;
  if (x.rows <= kFewRows) return bf16_tiles<kFewRows, kPanels>(x, packed, outputs_at(y, w, p));
  for (int i = 0; i < kPanels; i += 2) {
    ExpandedPairs expanded;
    constexpr int kTogether = kPanels < 2 ? 1 : 2;
    for (int j = 0; j < kTogether; ++j) {
      std::byte* to = scratch + j * (w.cols / 2) * kPairBytes;
      for (int64_t step = 0; step < w.cols / 2; ++step) {
        Simd::store_int(to + step * kPairBytes, packed.pair(i + j, step));
      }
      expanded.panels[j] = to;
    }
    bf16_tiles<Simd::kFloatRows, kTogether>(x, expanded, outputs_at(y, w, p + i));
  }
}

template <DType kW>
static void bf16_all(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,
                     int64_t panel_end, std::byte* scratch) {
  int64_t p = panel_begin;
  for (; p + 4 <= panel_end; p += 4) bf16_panels<kW, 4>(x, w, y, p, scratch);
  for (; p < panel_end; ++p) bf16_panels<kW, 1>(x, w, y, p, scratch);
}

void matmul_bf16(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,
                 int64_t panel_end, std::byte* scratch) {
  switch (w.dtype) {
    case DType::kF32:
      return bf16_all<DType::kF32>(x, w, y, panel_begin, panel_end, scratch);
    case DType::kF16:
      return bf16_all<DType::kF16>(x, w, y, panel_begin, panel_end, scratch);
    default:
      return bf16_all<DType::kBf16>(x, w, y, panel_begin, panel_end, scratch);
  }
}

void round_bf16(const ConstView& x, const View& out, int64_t row_begin, int64_t row_end) {
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* in = x.row<float>(row);
    uint16_t* to = out.row<uint16_t>(row);
    int64_t i = 0;
    for (; i + 2 * Simd::kLanes <= x.cols; i += 2 * Simd::kLanes) {
      Simd::store_int(to + i, round_both(Simd::load(in + i + Simd::kLanes), Simd::load(in + i)));
    }
    if (i == x.cols) continue;
    const uint32_t rest = (1u << (x.cols - i)) - 1;
    const auto low = static_cast<__mmask16>(rest), high = static_cast<__mmask16>(rest >> 16);
    const Simd::F first = _mm512_maskz_loadu_ps(low, in + i);
    const Simd::F second = _mm512_maskz_loadu_ps(high, in + i + Simd::kLanes);
    _mm512_mask_storeu_epi16(to + i, rest, round_both(second, first));
  }
}
