// What all products have in common. Included inside a namespace, after simd_*.h.
//
// A tile is kRows rows of activations x kPanels panels of 16 outputs, all of it in registers. The
// panels are first expanded (to f32, to bytes in matmul_int8_impl.h, to pairs in
// matmul_bf16_impl.h) in scratch that stays in L1/L2 and serves every tile of rows. Each output is
// summed over the inputs in one fixed order, whatever the tile, so the bits of a row do not depend
// on the rows beside it.

static constexpr int kHalves = kPanelRows / Simd::kLanes;  // vectors a panel row takes

// Stores a panel's 16 outputs, or the first `count` of them for a matrix's last panel; or adds them
// to what is there.
static inline void store_panel(const Simd::F* f, bool add, float* out, int64_t count) {
  if (count >= kPanelRows) {
    for (int h = 0; h < kHalves; ++h) {
      float* to = out + h * Simd::kLanes;
      Simd::store(to, add ? Simd::add(Simd::load(to), f[h]) : f[h]);
    }
    return;
  }
  float values[kPanelRows];
  for (int h = 0; h < kHalves; ++h) Simd::store(values + h * Simd::kLanes, f[h]);
  for (int64_t i = 0; i < count; ++i) out[i] = add ? out[i] + values[i] : values[i];
}

// Where a tile's results go: y's columns from first_col on, of which cols_left are left.
struct TileOutputs {
  View y;
  int64_t first_col;
  int64_t cols_left;
  bool add = false;  // to what y has
};

// The outputs of panel `p` of w and those after it.
static inline TileOutputs outputs_at(const View& y, const PackedView& w, int64_t p,
                                     bool add = false) {
  return {y, p * kPanelRows, w.rows - p * kPanelRows, add};
}

template <int kRows, int kPanels>
static inline void store_tile(const Simd::F (&f)[kRows][kPanels * kHalves], int64_t row,
                              const TileOutputs& out) {
  for (int r = 0; r < kRows; ++r) {
    float* to = out.y.row<float>(row + r) + out.first_col;
    for (int p = 0; p < kPanels; ++p) {
      store_panel(f[r] + p * kHalves, out.add, to + p * kPanelRows, out.cols_left - p * kPanelRows);
    }
  }
}

// Calls tile<n>(row) for tiles of n rows: kRows as often as possible, then kStep less, and so on.
template <int kRows, int kStep = 1, class Tile>
static inline void each_tile(int64_t row, int64_t num_rows, const Tile& tile) {
  for (; row + kRows <= num_rows; row += kRows) tile.template operator()<kRows>(row);
  if constexpr (kRows > 1) {
    constexpr int kFewer = kRows > kStep ? kRows - kStep : 1;
    if (row < num_rows) each_tile<kFewer, kStep>(row, num_rows, tile);
  }
}
