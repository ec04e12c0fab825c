// y = x W^T in f32 over packed panels. Included inside a namespace, after float_panel_impl.h.

// Weights expanded to f32 [cols][16] a panel.
struct ExpandedFloats {
  const std::byte* panels[2];

  Simd::F load(int p, int64_t k, int half) const {
    return Simd::load(reinterpret_cast<const float*>(panels[p]) + k * kPanelRows +
                      half * Simd::kLanes);
  }
};

// Weights straight from packed panels of 16 bits a number.
template <DType kW>
struct PackedHalves {
  const std::byte* panels[4];

  Simd::F load(int p, int64_t k, int half) const {
    const auto* at =
        reinterpret_cast<const uint16_t*>(panels[p]) + k * kPanelRows + half * Simd::kLanes;
    return kW == DType::kF16 ? Simd::load_f16(at) : Simd::load_bf16(at);
  }
};

template <int kRows, int kPanels, class Weights>
static void float_tile(const ConstView& x, int64_t row, const Weights& weights,
                       const TileOutputs& out) {
  constexpr int kVecs = kPanels * kHalves;
  Simd::F f[kRows][kVecs];
  for (auto& of_row : f) {
    for (Simd::F& value : of_row) value = Simd::zero();
  }
  const float* a = x.row<float>(row);
  for (int64_t k = 0; k < x.cols; ++k) {
    Simd::F w[kVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) w[v] = weights.load(v / kHalves, k, v % kHalves);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Simd::F one = Simd::set1(a[r * x.stride + k]);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) f[r][v] = Simd::fma(one, w[v], f[r][v]);
    }
  }
  store_tile<kRows, kPanels>(f, row, out);
}

// Tiles of kRows rows at most.
template <int kRows, int kPanels, class Weights>
static void float_tiles(const ConstView& x, const Weights& weights, const TileOutputs& out) {
  each_tile<kRows>(0, x.rows, [&]<int kTileRows>(int64_t row) {
    float_tile<kTileRows, kPanels>(x, row, weights, out);
  });
}

// Up to four rows: the weights go from memory through registers, kPanels panels at a time, so many
// that their sums need not wait for each other.
template <DType kW, int kRows, int kPanels>
static void halves_panels(const ConstView& x, const PackedView& w, const View& y, int64_t p,
                          int64_t panel_end) {
  const int64_t panel_bytes = w.cols * kPanelRows * 2;
  PackedHalves<kW> weights;
  for (; p + kPanels <= panel_end; p += kPanels) {
    for (int i = 0; i < kPanels; ++i) weights.panels[i] = w.data + (p + i) * panel_bytes;
    float_tiles<kRows, kPanels>(x, weights, outputs_at(y, w, p));
  }
  if constexpr (kPanels > 1) {
    if (p < panel_end) halves_panels<kW, kRows, 1>(x, w, y, p, panel_end);
  }
}
constexpr int64_t kFewFloatRows = 4;
template <DType kW>
static void few_halves(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,
                       int64_t panel_end) {
  if (x.rows <= 2)
    return halves_panels<kW, 2, 2 * Simd::kTilePanels>(x, w, y, panel_begin, panel_end);
  halves_panels<kW, kFewFloatRows, Simd::kTilePanels>(x, w, y, panel_begin, panel_end);
}

void matmul(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,
            int64_t panel_end, std::byte* scratch) {
  if (x.rows <= kFewFloatRows && w.dtype == DType::kF16) {
    return few_halves<DType::kF16>(x, w, y, panel_begin, panel_end);
  }
  if (x.rows <= kFewFloatRows && w.dtype == DType::kBf16) {
    return few_halves<DType::kBf16>(x, w, y, panel_begin, panel_end);
  }
  const int64_t bytes = panel_bytes(w);
  for (int64_t p = panel_begin; p < panel_end; p += Simd::kTilePanels) {
    ExpandedFloats weights{};
    const bool full = p + Simd::kTilePanels <= panel_end;
    for (int i = 0; i < (full ? Simd::kTilePanels : 1); ++i) {
      weights.panels[i] =
          float_panel(w, w.data + (p + i) * bytes, scratch + i * w.cols * kPanelRows * 4);
    }
    if (full) {
      float_tiles<Simd::kFloatRows, Simd::kTilePanels>(x, weights, outputs_at(y, w, p));
    } else {
      float_tiles<Simd::kFloatRows, 1>(x, weights, outputs_at(y, w, p));
    }
  }
}
