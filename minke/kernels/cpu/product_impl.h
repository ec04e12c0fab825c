// C = C + A B in f32, a register tile of C at a time. Included inside a namespace, after
// tile_impl.h.
//
// Each element of C is one chain of fused multiply-adds over the depth in order, which goes on from
// what C has: however C and the depth are cut into tiles, the bits are the same.

static constexpr int64_t kDepth = kProductDepth;

// A has the element (r, t) at data[r * kRowStep + t * kDepthStep].
template <int64_t kRowStep, int64_t kDepthStep>
struct LeftFactor {
  const float* data;

  Simd::F at(int64_t r, int64_t t) const { return Simd::set1(data[r * kRowStep + t * kDepthStep]); }
};

// The same with steps that are known at run time only.
struct LeftRows {
  const float* data;
  int64_t step;
  Simd::F at(int64_t r, int64_t t) const { return Simd::set1(data[r * step + t]); }
};
struct LeftColumns {
  const float* data;
  int64_t step;
  Simd::F at(int64_t r, int64_t t) const { return Simd::set1(data[t * step + r]); }
};

// Panels of 16 columns; each has its row t at t * step, and the next panel is `panel` further.
struct RightFactor {
  const float* data;
  int64_t step;
  int64_t panel;

  RightFactor from_panel(int64_t p) const { return {data + p * panel, step, panel}; }
};

// As B, but to be written. Without `add` what it has counts as 0.
struct Product {
  float* data;
  int64_t step;
  int64_t panel;
  bool add;

  Product from(int64_t row, int64_t p) const {
    return {data + row * step + p * panel, step, panel, add};
  }
  float* at(int64_t row, int v) const {
    return data + row * step + v / kHalves * panel + v % kHalves * Simd::kLanes;
  }
};

template <int kRows, int kPanels, class A>
static void product_tile(const A& a, const RightFactor& b, int64_t depth, const Product& c) {
  constexpr int kVecs = kPanels * kHalves;
  Simd::F f[kRows][kVecs];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVecs; ++v) f[r][v] = c.add ? Simd::load(c.at(r, v)) : Simd::zero();
  }
  const float* row = b.data;
  for (int64_t t = 0; t < depth; ++t, row += b.step) {
    Simd::F w[kVecs];
#pragma GCC unroll 8
    for (int v = 0; v < kVecs; ++v) {
      w[v] = Simd::load(row + v / kHalves * b.panel + v % kHalves * Simd::kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Simd::F one = a.at(r, t);
#pragma GCC unroll 8
      for (int v = 0; v < kVecs; ++v) f[r][v] = Simd::fma(one, w[v], f[r][v]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVecs; ++v) Simd::store(c.at(r, v), f[r][v]);
  }
}

// The rows of one A with all panels of B.
template <int kRows, class A>
static void product_row(const A& a, const RightFactor& b, int64_t depth, int64_t num_panels,
                        const Product& c) {
  int64_t p = 0;
  for (; p + Simd::kTilePanels <= num_panels; p += Simd::kTilePanels) {
    product_tile<kRows, Simd::kTilePanels>(a, b.from_panel(p), depth, c.from(0, p));
  }
  if constexpr (Simd::kTilePanels > 1) {
    if (p < num_panels) product_tile<kRows, 1>(a, b.from_panel(p), depth, c.from(0, p));
  }
}
