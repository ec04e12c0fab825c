// Matrix products over packed panels. Included inside a namespace, after a simd_*.h.
//
// A tile is kRows rows of activations x kPanels panels of 16 outputs, all of it in registers. For
// more than one row the panels are first expanded (to bytes, or to f32) in scratch that stays in
// L1/L2 and serves every tile of rows. Each output is summed over the inputs in one fixed order,
// whatever the tile, so the bits of a row do not depend on the rows beside it.

static constexpr int kHalves = kPanelRows / Simd::kLanes;  // vectors a panel row takes

// What differs between block formats (kernels/panel.h draws them).
template <int kQuantBits_, bool kHasMin_, int kBias_>
struct BlockFormat {
  static constexpr int kQuantBits = kQuantBits_;
  static constexpr bool kHasMin = kHasMin_;
  static constexpr int kBias = kBias_;
  static constexpr int kScaleBytes = kPanelRows * 2;
  static constexpr int kHeaderBytes = kScaleBytes * (kHasMin ? 2 : 1);
  static constexpr int kBlockBytes = kHeaderBytes + kPanelRows * kBlockCols * kQuantBits / 8;
  // 8-bit weights that were made signed in the expansion have no bias left to subtract.
  static constexpr bool kSigned = kQuantBits == 8 && kSignedQ8;
};
using FormatQ4_0 = BlockFormat<4, false, 8>;
using FormatQ4_1 = BlockFormat<4, true, 0>;
using FormatQ8_0 = BlockFormat<8, false, 128>;

// (S is a parameter so that a set without signed bytes need not name their product.)
template <class Format, class S = Simd>
static inline Simd::I dot(Simd::I sum, Simd::I w, Simd::I a) {
  if constexpr (Format::kSigned) {
    return S::dot4_signed(sum, w, a);
  } else {
    return S::dot4(sum, w, a);
  }
}

// One step of four inputs of a block: the bytes of `half` of the panel's rows.
template <class Format>
static inline Simd::I load_step(const std::byte* quants, int step, int half) {
  const int offset = half * Simd::kLanes * 4;
  if constexpr (Format::kQuantBits == 4) {
    const Simd::I both = Simd::load_int(quants + step / 2 * 64 + offset);
    return step % 2 == 0 ? Simd::low_nibbles(both) : Simd::high_nibbles(both);
  } else {
    const Simd::I bytes = Simd::load_int(quants + step * 64 + offset);
    if constexpr (Format::kSigned) return Simd::flip_signs(bytes);
    return bytes;
  }
}

template <class Format>
static inline Simd::F load_scale(const std::byte* block, int half) {
  return Simd::load_f16(reinterpret_cast<const uint16_t*>(block) + half * Simd::kLanes);
}

// f + (the block's integer sum) * d * scale + min * scale_sum, in this order everywhere.
template <class Format>
static inline Simd::F add_block(Simd::F f, Simd::I sum, const std::byte* block, int half,
                                float scale, float scale_sum) {
  const Simd::F d = load_scale<Format>(block, half);
  f = Simd::fma(Simd::to_float(sum), Simd::mul(d, Simd::set1(scale)), f);
  if constexpr (Format::kHasMin) {
    const Simd::F m = load_scale<Format>(block + Format::kScaleBytes, half);
    return Simd::fma(m, Simd::set1(scale_sum), f);
  } else if constexpr (!Format::kSigned) {
    return Simd::fma(d, Simd::set1(-Format::kBias * scale_sum), f);
  }
  return f;
}

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

// The panel's products with one row's 32 inputs `a`, in two chains that do not wait for each other.
template <class Format>
static inline Simd::I row_dot(const std::byte* quants, int half, const int8_t* a) {
  Simd::I even = Simd::zero_int(), odd = Simd::zero_int();
#pragma GCC unroll 4
  for (int step = 0; step < kBlockCols / 4; step += 2) {
    even = dot<Format>(even, load_step<Format>(quants, step, half), Simd::broadcast4(a + step * 4));
    odd = dot<Format>(odd, load_step<Format>(quants, step + 1, half),
                      Simd::broadcast4(a + step * 4 + 4));
  }
  return Simd::add_int(even, odd);
}

// One row of activations, one panel: the weights go from memory through registers, once.
template <class Format, bool kWide>
static void int8_row(const Int8View& x, const std::byte* panel, float* out, int64_t count) {
  Simd::F f[kHalves];
  for (int h = 0; h < kHalves; ++h) f[h] = Simd::zero();
  for (int64_t b = 0; b < x.num_blocks(); ++b, panel += Format::kBlockBytes) {
    const std::byte* quants = panel + Format::kHeaderBytes;
    for (int h = 0; h < kHalves; ++h) {
      Simd::I sum = row_dot<Format>(quants, h, x.q + b * kBlockCols);
      if constexpr (kWide) {
        sum = Simd::add_int(Simd::times128(sum),
                            row_dot<Format>(quants, h, x.q_low + b * kBlockCols));
      }
      f[h] = add_block<Format>(f[h], sum, panel, h, x.scale[b], x.scale_sum[b]);
    }
  }
  store_panel(f, out, count);
}

// Panel data expanded to one byte a weight: [cols / 4][16 rows][4].
template <class Format>
static void expand_bytes(const std::byte* panel, int64_t num_blocks, std::byte* out) {
  for (int64_t b = 0; b < num_blocks; ++b, panel += Format::kBlockBytes) {
#pragma GCC unroll 8
    for (int step = 0; step < kBlockCols / 4; ++step, out += 64) {
      for (int h = 0; h < kHalves; ++h) {
        Simd::store_int(out + h * Simd::kLanes * 4,
                        load_step<Format>(panel + Format::kHeaderBytes, step, h));
      }
    }
  }
}

// Where a tile finds its weights and puts its results.
struct TilePanels {
  const std::byte* packed[Simd::kTilePanels];    // for the scales
  const std::byte* expanded[Simd::kTilePanels];  // bytes, or f32
  int64_t first_col;                             // of y
  int64_t cols_left;                             // columns of y from first_col on
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

// Adds a block's products of kRows rows of activations (at a, `stride` apart) to `sum`.
template <class Format, int kRows, int kVecs>
static inline void tile_dots(Simd::I (&sum)[kRows][kVecs], const std::byte* const* weights,
                             const int8_t* a, int64_t stride) {
#pragma GCC unroll 8
  for (int step = 0; step < kBlockCols / 4; ++step) {
    Simd::I w[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) w[v] = Simd::load_int(weights[v] + step * 64);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Simd::I four = Simd::broadcast4(a + r * stride + step * 4);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sum[r][v] = dot<Format>(sum[r][v], w[v], four);
    }
  }
}

template <class Format, bool kWide, int kRows, int kPanels>
static void int8_tile(const Int8View& x, int64_t row, const TilePanels& panels, const View& y) {
  constexpr int kVecs = kPanels * kHalves;
  Simd::F f[kRows][kVecs];
  for (auto& of_row : f) {
    for (Simd::F& value : of_row) value = Simd::zero();
  }
  const int64_t num_blocks = x.num_blocks();
  for (int64_t b = 0; b < num_blocks; ++b) {
    const int64_t first = row * x.cols + b * kBlockCols;
    const std::byte* weights[kVecs];
    for (int v = 0; v < kVecs; ++v) {
      weights[v] =
          panels.expanded[v / kHalves] + b * (kBlockCols / 4) * 64 + v % kHalves * Simd::kLanes * 4;
    }
    Simd::I sum[kRows][kVecs];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sum[r][v] = Simd::zero_int();
    }
    tile_dots<Format, kRows, kVecs>(sum, weights, x.q + first, x.cols);
    if constexpr (kWide) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int v = 0; v < kVecs; ++v) sum[r][v] = Simd::times128(sum[r][v]);
      }
      tile_dots<Format, kRows, kVecs>(sum, weights, x.q_low + first, x.cols);
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      const std::byte* block = panels.packed[v / kHalves] + b * Format::kBlockBytes;
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const int64_t at = (row + r) * num_blocks + b;
        f[r][v] =
            add_block<Format>(f[r][v], sum[r][v], block, v % kHalves, x.scale[at], x.scale_sum[at]);
      }
    }
  }
  store_tile<kRows, kPanels>(f, y, row, panels);
}

// Runs the rows from `row` on in tiles of kRows, the rest in smaller ones.
template <class Format, bool kWide, int kRows, int kPanels>
static void int8_tiles(const Int8View& x, int64_t row, const TilePanels& panels, const View& y) {
  for (; row + kRows <= x.rows; row += kRows) {
    int8_tile<Format, kWide, kRows, kPanels>(x, row, panels, y);
  }
  if constexpr (kRows > 1) {
    if (row < x.rows) int8_tiles<Format, kWide, kRows - 1, kPanels>(x, row, panels, y);
  }
}

template <class Format, bool kWide>
static void int8_panels(const Int8View& x, const PackedView& w, const View& y, int64_t panel_begin,
                        int64_t panel_end, std::byte* scratch) {
  const int64_t panel_bytes = x.num_blocks() * Format::kBlockBytes;
  if (x.rows == 1) {
    for (int64_t p = panel_begin; p < panel_end; ++p) {
      int8_row<Format, kWide>(x, w.data + p * panel_bytes, y.row<float>(0) + p * kPanelRows,
                              w.rows - p * kPanelRows);
    }
    return;
  }
  for (int64_t p = panel_begin; p < panel_end; p += Simd::kTilePanels) {
    TilePanels panels{};
    panels.first_col = p * kPanelRows;
    panels.cols_left = w.rows - panels.first_col;
    const bool full = p + Simd::kTilePanels <= panel_end;
    for (int i = 0; i < (full ? Simd::kTilePanels : 1); ++i) {
      std::byte* expanded = scratch + i * x.cols * kPanelRows;
      panels.packed[i] = w.data + (p + i) * panel_bytes;
      panels.expanded[i] = expanded;
      expand_bytes<Format>(panels.packed[i], x.num_blocks(), expanded);
    }
    if (full) {
      int8_tiles<Format, kWide, Simd::kInt8Rows, Simd::kTilePanels>(x, 0, panels, y);
    } else {
      int8_tiles<Format, kWide, Simd::kInt8Rows, 1>(x, 0, panels, y);
    }
  }
}

template <class Format>
static void int8_format(const Int8View& x, const PackedView& w, const View& y, int64_t panel_begin,
                        int64_t panel_end, std::byte* scratch) {
  if (x.q_low != nullptr) {
    int8_panels<Format, true>(x, w, y, panel_begin, panel_end, scratch);
  } else {
    int8_panels<Format, false>(x, w, y, panel_begin, panel_end, scratch);
  }
}

void matmul_int8(const Int8View& x, const PackedView& w, const View& y, int64_t panel_begin,
                 int64_t panel_end, std::byte* scratch) {
  switch (w.dtype) {
    case DType::kQ4_0:
      return int8_format<FormatQ4_0>(x, w, y, panel_begin, panel_end, scratch);
    case DType::kQ4_1:
      return int8_format<FormatQ4_1>(x, w, y, panel_begin, panel_end, scratch);
    case DType::kQ8_0:
      return int8_format<FormatQ8_0>(x, w, y, panel_begin, panel_end, scratch);
    default:
      __builtin_trap();  // kernels/matmul.cpp lets only block formats through
  }
}

// ---- floating point ----

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

template <class Format>
static void expand_floats(const std::byte* panel, int64_t num_blocks, float* out) {
  for (int64_t b = 0; b < num_blocks; ++b, panel += Format::kBlockBytes) {
    for (int h = 0; h < kHalves; ++h) {
      const Simd::F d = load_scale<Format>(panel, h);
      Simd::F m = Simd::mul(d, Simd::set1(static_cast<float>(-Format::kBias)));
      if constexpr (Format::kHasMin) m = load_scale<Format>(panel + Format::kScaleBytes, h);
      float* to = out + b * kBlockCols * kPanelRows + h * Simd::kLanes;
      for (int step = 0; step < kBlockCols / 4; ++step) {
        Simd::I four = load_step<Format>(panel + Format::kHeaderBytes, step, h);
        if constexpr (Format::kSigned) four = Simd::flip_signs(four);  // back to unsigned
        Simd::store(to + (step * 4 + 0) * kPanelRows,
                    Simd::fma(Simd::byte_to_float<0>(four), d, m));
        Simd::store(to + (step * 4 + 1) * kPanelRows,
                    Simd::fma(Simd::byte_to_float<1>(four), d, m));
        Simd::store(to + (step * 4 + 2) * kPanelRows,
                    Simd::fma(Simd::byte_to_float<2>(four), d, m));
        Simd::store(to + (step * 4 + 3) * kPanelRows,
                    Simd::fma(Simd::byte_to_float<3>(four), d, m));
      }
    }
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
  const int64_t num_blocks = w.cols / kBlockCols;
  switch (w.dtype) {
    case DType::kF32:
      return panel;
    case DType::kQ4_0:
      expand_floats<FormatQ4_0>(panel, num_blocks, out);
      return scratch;
    case DType::kQ4_1:
      expand_floats<FormatQ4_1>(panel, num_blocks, out);
      return scratch;
    case DType::kQ8_0:
      expand_floats<FormatQ8_0>(panel, num_blocks, out);
      return scratch;
    default:
      expand_halves(panel, w.dtype, w.cols, out);
      return scratch;
  }
}

static int64_t panel_bytes(const PackedView& w) {
  const int64_t num_blocks = w.cols / kBlockCols;
  switch (w.dtype) {
    case DType::kF32:
      return w.cols * kPanelRows * 4;
    case DType::kQ4_0:
      return num_blocks * FormatQ4_0::kBlockBytes;
    case DType::kQ4_1:
      return num_blocks * FormatQ4_1::kBlockBytes;
    case DType::kQ8_0:
      return num_blocks * FormatQ8_0::kBlockBytes;
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
      panels.packed[i] = w.data + (p + i) * bytes;
      panels.expanded[i] = float_panel(w, panels.packed[i], scratch + i * w.cols * kPanelRows * 4);
    }
    if (full) {
      float_tiles<Simd::kFloatRows, Simd::kTilePanels>(x, 0, panels, y);
    } else {
      float_tiles<Simd::kFloatRows, 1>(x, 0, panels, y);
    }
  }
}

// ---- activations to int8 ----

// Stores values * factor rounded to nearest even as int8 and returns their sum; with `rest`, what
// the rounding left, in units of `step`, is put there.
template <int kVecs>
static inline int32_t store_rounded(const Simd::F (&values)[kVecs], float factor, int8_t* q,
                                    float step, Simd::F* rest) {
  for (int v = 0; v < kVecs; ++v) {
    const Simd::F whole = Simd::round(Simd::mul(values[v], Simd::set1(factor)));
    Simd::store_bytes(q + v * Simd::kLanes, whole);
    if (rest != nullptr) rest[v] = Simd::fma(whole, Simd::set1(-step), values[v]);
  }
  int32_t sum = 0;
  for (int i = 0; i < kBlockCols; ++i) sum += q[i];
  return sum;
}

void quantize_int8(const ConstView& x, const Int8View& out, int64_t row_begin, int64_t row_end) {
  constexpr int kVecs = kBlockCols / Simd::kLanes;
  for (int64_t row = row_begin; row < row_end; ++row) {
    const float* in = x.row<float>(row);
    for (int64_t b = 0; b < out.num_blocks(); ++b, in += kBlockCols) {
      Simd::F values[kVecs], rest[kVecs];
      Simd::F largest = Simd::zero();
      for (int v = 0; v < kVecs; ++v) {
        values[v] = Simd::load(in + v * Simd::kLanes);
        largest = Simd::max(largest, Simd::abs(values[v]));
      }
      const float magnitude = Simd::max_of(largest);
      // Below 2^-100 a block counts as zero: 127 / magnitude must not overflow.
      const bool zero = !(magnitude >= 0x1p-100f);
      const float inverse = zero ? 0.0f : 127.0f / magnitude;
      const float step = zero ? 0.0f : magnitude / 127.0f;
      const int64_t first = row * out.cols + b * kBlockCols;
      const int64_t at = row * out.num_blocks() + b;
      int32_t sum = store_rounded(values, inverse, out.q + first, step, rest);
      out.scale[at] = step;
      if (out.q_low != nullptr) {
        sum = 128 * sum + store_rounded(rest, 128.0f * inverse, out.q_low + first, 0.0f, nullptr);
        out.scale[at] = step / 128.0f;
      }
      out.scale_sum[at] = out.scale[at] * static_cast<float>(sum);
    }
  }
}
