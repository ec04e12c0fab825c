// y = x W^T in f32 over packed panels. Included inside a namespace, after block_impl.h.
//
// A tile is kRows rows of activations x kPanels panels of 16 outputs, all of it in registers. The
// panels are first expanded (here to f32, in matmul_int8_impl.h to bytes) in scratch that stays in
// L1/L2 and serves every tile of rows. Each output is summed over the inputs in one fixed order,
// whatever the tile, so the bits of a row do not depend on the rows beside it.

// Stores a panel's 16 outputs, or the first `count` of them for a matrix's last panel.
static inline void store_panel(const Simd::F* f, float* out, int64_t count) {
  if (count >= kPanelRows) {
    for (int h = 0; h < kHalves; ++h) Simd::store(out + h * Simd::kLanes, f[h]);
    return;
  }
  float values[kPanelRows];
  for (int h = 0; h < kHalves; ++h) Simd::store(values + h * Simd::kLanes, f[h]);
  for (int64_t i = 0; i < count; ++i) out[i] = values[i];
}

// Where a tile finds its weights and puts its results.
struct TilePanels {
  const std::byte* expanded[2];  // ExpandedGroups, or f32
  int bias;                      // what the bytes of ExpandedGroups have too much
  int64_t first_col;             // of y
  int64_t cols_left;             // columns of y from first_col on
};

template <int kRows, int kPanels>
static inline void store_tile(const Simd::F (&f)[kRows][kPanels * kHalves], const View& y,
                              int64_t row, const TilePanels& panels) {
  for (int r = 0; r < kRows; ++r) {
    float* out = y.row<float>(row + r) + panels.first_col;
    for (int p = 0; p < kPanels; ++p) {
      store_panel(f[r] + p * kHalves, out + p * kPanelRows, panels.cols_left - p * kPanelRows);
    }
  }
}

template <int kRows, int kPanels>
static void float_tile(const ConstView& x, int64_t row, const TilePanels& panels, const View& y) {
  constexpr int kVecs = kPanels * kHalves;
  Simd::F f[kRows][kVecs];
  for (auto& of_row : f) {
    for (Simd::F& value : of_row) value = Simd::zero();
  }
  const float* a = x.row<float>(row);
  for (int64_t k = 0; k < x.cols; ++k) {
    Simd::F w[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      w[v] = Simd::load(reinterpret_cast<const float*>(panels.expanded[v / kHalves]) +
                        k * kPanelRows + v % kHalves * Simd::kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Simd::F one = Simd::set1(a[r * x.stride + k]);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) f[r][v] = Simd::fma(one, w[v], f[r][v]);
    }
  }
  store_tile<kRows, kPanels>(f, y, row, panels);
}

template <int kRows, int kPanels>
static void float_tiles(const ConstView& x, int64_t row, const TilePanels& panels, const View& y) {
  for (; row + kRows <= x.rows; row += kRows) float_tile<kRows, kPanels>(x, row, panels, y);
  if constexpr (kRows > 1) {
    if (row < x.rows) float_tiles<kRows - 1, kPanels>(x, row, panels, y);
  }
}

static void expand_halves(const std::byte* panel, DType dtype, int64_t cols, float* out) {
  const auto* in = reinterpret_cast<const uint16_t*>(panel);
  for (int64_t i = 0; i < cols * kPanelRows; i += Simd::kLanes) {
    Simd::store(out + i, dtype == DType::kF16 ? Simd::load_f16(in + i) : Simd::load_bf16(in + i));
  }
}

// The panel as f32 [cols][16]: itself, or decoded into `scratch`.
static const std::byte* float_panel(const PackedView& w, const std::byte* panel,
                                    std::byte* scratch) {
  auto* out = reinterpret_cast<float*>(scratch);
  switch (w.dtype) {
    case DType::kF32:
      return panel;
#define MK_BLOCK_FORMAT(id, ...)                            \
  case DType::id:                                           \
    expand_floats<FormatOf<DType::id>>(panel, w.cols, out); \
    return scratch;
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
    default:
      expand_halves(panel, w.dtype, w.cols, out);
      return scratch;
  }
}

static int64_t panel_bytes(const PackedView& w) {
  switch (w.dtype) {
    case DType::kF32:
      return w.cols * kPanelRows * 4;
#define MK_BLOCK_FORMAT(id, ...)                                  \
  case DType::id: {                                               \
    constexpr PanelLayout kLayout = FormatOf<DType::id>::kLayout; \
    return w.cols / kLayout.unit_cols * kLayout.unit_bytes;       \
  }
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
    default:
      return w.cols * kPanelRows * 2;
  }
}

void matmul(const ConstView& x, const PackedView& w, const View& y, int64_t panel_begin,
            int64_t panel_end, std::byte* scratch) {
  const int64_t bytes = panel_bytes(w);
  for (int64_t p = panel_begin; p < panel_end; p += Simd::kTilePanels) {
    TilePanels panels{};
    panels.first_col = p * kPanelRows;
    panels.cols_left = w.rows - panels.first_col;
    const bool full = p + Simd::kTilePanels <= panel_end;
    for (int i = 0; i < (full ? Simd::kTilePanels : 1); ++i) {
      panels.expanded[i] =
          float_panel(w, w.data + (p + i) * bytes, scratch + i * w.cols * kPanelRows * 4);
    }
    if (full) {
      float_tiles<Simd::kFloatRows, Simd::kTilePanels>(x, 0, panels, y);
    } else {
      float_tiles<Simd::kFloatRows, 1>(x, 0, panels, y);
    }
  }
}
