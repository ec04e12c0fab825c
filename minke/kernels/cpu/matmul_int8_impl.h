// Integer products over packed panels. Included inside a namespace, after matmul_impl.h, which says
// what a tile is. An output is, for each group of inputs in order,
//
//   y = fma(dot, s * scale, y), then fma(t, scale_sum, y) where the format has a minimum
//
// with the integer `dot` exact, so its bits do not depend on the instruction set.

// What tiles need to know of a format once its panel is expanded.
template <int kGroups_, bool kHasMin_, bool kSigned_>
struct TileKind {
  using Group = ExpandedGroup<kGroups_, kHasMin_>;
  static constexpr int kGroups = kGroups_;  // in 32 inputs
  static constexpr bool kHasMin = kHasMin_;
  static constexpr bool kSigned = kSigned_;
};
template <class Format>
using KindOf = TileKind<Format::kGroups, Format::kHasMin, Format::kSigned>;

// sum + products of weights w with activations a. (S is a parameter so that a set without signed
// bytes need not name their product.)
template <class Kind, class S = Simd>
static inline Simd::I dot(Simd::I sum, Simd::I w, Simd::I a) {
  if constexpr (Kind::kSigned) {
    return S::dot4_signed(sum, w, a);
  } else {
    return S::dot4(sum, w, a);
  }
}

// The activations' sum over group g of block `at`, and the same times their scale.
template <class Kind>
static inline int32_t group_sum(const Int8View& x, int64_t at, int g) {
  const int32_t* sums = x.group_sum + 2 * at;
  return Kind::kGroups == 2 ? sums[g] : sums[0] + sums[1];
}
template <class Kind>
static inline float group_scale_sum(const Int8View& x, int64_t at, int g) {
  if constexpr (Kind::kGroups == 1) return x.scale_sum[at];
  return x.scale[at] * static_cast<float>(x.group_sum[2 * at + g]);
}

// `start` + the panel's products with four times kCount inputs `a`, in two chains that do not wait
// for each other.
template <class Format, int kCount>
static inline Simd::I row_dot(Simd::I start, const std::byte* lines, int first_step, int half,
                              const int8_t* a) {
  Simd::I even = start, odd = Simd::zero_int();
#pragma GCC unroll 4
  for (int i = 0; i < kCount; i += 2) {
    const int step = first_step + i;
    even = dot<Format>(even, load_step<Format>(lines, step, half), Simd::broadcast4(a + step * 4));
    odd = dot<Format>(odd, load_step<Format>(lines, step + 1, half),
                      Simd::broadcast4(a + step * 4 + 4));
  }
  return Simd::add_int(even, odd);
}

// Adds block `at` of x (block `b` of the unit) to the outputs of `half` of the panel's rows.
template <class Format, bool kWide>
static inline Simd::F row_block(Simd::F f, const Int8View& x, int64_t at, const std::byte* unit,
                                int b, int half) {
  constexpr int kCount = kSteps / Format::kGroups;
  const std::byte* lines = unit + Format::kLayout.quants_at + b * Format::kLayout.block_bytes;
#pragma GCC unroll 2
  for (int g = 0; g < Format::kGroups; ++g) {
    Simd::I sum = Simd::zero_int();
    if constexpr (Format::kBias != 0) {
      sum = Simd::set1_int(-Format::kBias * group_sum<Format>(x, at, g));
    }
    if constexpr (kWide) {
      const Simd::I high =
          row_dot<Format, kCount>(Simd::zero_int(), lines, g * kCount, half, x.q + at * kBlockCols);
      const Simd::I low =
          row_dot<Format, kCount>(sum, lines, g * kCount, half, x.q_low + at * kBlockCols);
      sum = Simd::add_int(Simd::times128(high), low);
    } else {
      sum = row_dot<Format, kCount>(sum, lines, g * kCount, half, x.q + at * kBlockCols);
    }
    const int j = b * Format::kGroups + g;
    const Simd::F s = load_scale<Format>(unit, j, half);
    f = Simd::fma(Simd::to_float(sum), Simd::mul(s, Simd::set1(x.scale[at])), f);
    if constexpr (Format::kHasMin) {
      f = Simd::fma(load_min<Format>(unit, j, half), Simd::set1(group_scale_sum<Format>(x, at, g)),
                    f);
    }
  }
  return f;
}

// One row of activations, one panel: the weights go from memory through registers, once.
template <class Format, bool kWide>
static void int8_row(const Int8View& x, const std::byte* unit, float* out, int64_t count) {
  Simd::F f[kHalves];
  for (int h = 0; h < kHalves; ++h) f[h] = Simd::zero();
  for (int64_t at = 0; at < x.num_blocks(); unit += Format::kLayout.unit_bytes) {
    for (int b = 0; b < Format::kBlocks; ++b, ++at) {
      for (int h = 0; h < kHalves; ++h) f[h] = row_block<Format, kWide>(f[h], x, at, unit, b, h);
    }
  }
  store_panel(f, out, count);
}

// Adds the products of one group of kRows rows of activations (at a, `stride` apart) to `sum`.
template <class Kind, int kRows, int kVecs>
static inline void tile_dots(Simd::I (&sum)[kRows][kVecs], const std::byte* const* groups,
                             const int8_t* a, int64_t stride) {
#pragma GCC unroll 8
  for (int step = 0; step < Kind::Group::kSteps; ++step) {
    Simd::I w[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) w[v] = Simd::load_int(groups[v] + step * kLineBytes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Simd::I four = Simd::broadcast4(a + r * stride + step * 4);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sum[r][v] = dot<Kind>(sum[r][v], w[v], four);
    }
  }
}

// The whole numbers that rows from `row` on have in group g of block b, less the bytes' bias.
template <class Kind, bool kWide, int kRows, int kVecs>
static inline void tile_sums(Simd::I (&sum)[kRows][kVecs], const Int8View& x, int64_t row,
                             int64_t b, int g, const std::byte* const* groups, int bias) {
  const int64_t first = row * x.cols + b * kBlockCols + g * Kind::Group::kSteps * 4;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) sum[r][v] = Simd::zero_int();
  }
  if constexpr (kWide) {
    tile_dots<Kind, kRows, kVecs>(sum, groups, x.q + first, x.cols);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sum[r][v] = Simd::times128(sum[r][v]);
    }
  }
  if constexpr (!Kind::kHasMin && !Kind::kSigned) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const int64_t at = (row + r) * x.num_blocks() + b;
      const Simd::I start = Simd::set1_int(-bias * group_sum<Kind>(x, at, g));
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sum[r][v] = kWide ? Simd::add_int(sum[r][v], start) : start;
    }
  }
  tile_dots<Kind, kRows, kVecs>(sum, groups, (kWide ? x.q_low : x.q) + first, x.cols);
}

template <class Kind, bool kWide, int kRows, int kPanels>
static void int8_tile(const Int8View& x, int64_t row, const TilePanels& panels, const View& y) {
  constexpr int kVecs = kPanels * kHalves;
  Simd::F f[kRows][kVecs];
  for (auto& of_row : f) {
    for (Simd::F& value : of_row) value = Simd::zero();
  }
  const std::byte* groups[kVecs];  // the current group's lines, for each vector
  for (int v = 0; v < kVecs; ++v) {
    groups[v] = panels.expanded[v / kHalves] + v % kHalves * Simd::kLanes * 4;
  }
  for (int64_t b = 0; b < x.num_blocks(); ++b) {
    for (int g = 0; g < Kind::kGroups; ++g) {
      Simd::I sum[kRows][kVecs];
      tile_sums<Kind, kWide, kRows, kVecs>(sum, x, row, b, g, groups, panels.bias);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) {
        const auto load_at = [&](int at) {
          return Simd::load(reinterpret_cast<const float*>(groups[v] + at));
        };
        const Simd::F s = load_at(Kind::Group::kScaleAt);
        Simd::F t = s;
        if constexpr (Kind::kHasMin) t = load_at(Kind::Group::kMinAt);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) {
          const int64_t at = (row + r) * x.num_blocks() + b;
          const Simd::F scale = Simd::mul(s, Simd::set1(x.scale[at]));
          f[r][v] = Simd::fma(Simd::to_float(sum[r][v]), scale, f[r][v]);
          if constexpr (Kind::kHasMin) {
            f[r][v] = Simd::fma(t, Simd::set1(group_scale_sum<Kind>(x, at, g)), f[r][v]);
          }
        }
        groups[v] += Kind::Group::kBytes;
      }
    }
  }
  store_tile<kRows, kPanels>(f, y, row, panels);
}

// Runs the rows from `row` on in tiles of kRows, the rest in smaller ones.
template <class Kind, bool kWide, int kRows, int kPanels>
static void int8_tiles(const Int8View& x, int64_t row, const TilePanels& panels, const View& y) {
  for (; row + kRows <= x.rows; row += kRows) {
    int8_tile<Kind, kWide, kRows, kPanels>(x, row, panels, y);
  }
  if constexpr (kRows > 1) {
    if (row < x.rows) int8_tiles<Kind, kWide, kRows - 1, kPanels>(x, row, panels, y);
  }
}

template <class Format, bool kWide>
static void int8_panels(const Int8View& x, const PackedView& w, const View& y, int64_t panel_begin,
                        int64_t panel_end, std::byte* scratch) {
  using Kind = KindOf<Format>;
  const int64_t panel_bytes = x.cols / Format::kLayout.unit_cols * Format::kLayout.unit_bytes;
  if (x.rows == 1) {
    for (int64_t p = panel_begin; p < panel_end; ++p) {
      int8_row<Format, kWide>(x, w.data + p * panel_bytes, y.row<float>(0) + p * kPanelRows,
                              w.rows - p * kPanelRows);
    }
    return;
  }
  // Expanded, an input takes 24 bytes at most of the 64 that the scratch has for it.
  for (int64_t p = panel_begin; p < panel_end; p += Simd::kTilePanels) {
    TilePanels panels{};
    panels.bias = Format::kBias;
    panels.first_col = p * kPanelRows;
    panels.cols_left = w.rows - panels.first_col;
    const bool full = p + Simd::kTilePanels <= panel_end;
    for (int i = 0; i < (full ? Simd::kTilePanels : 1); ++i) {
      std::byte* expanded = scratch + i * x.cols * kPanelRows * 4;
      panels.expanded[i] = expanded;
      expand_bytes<Format>(w.data + (p + i) * panel_bytes, x.cols, expanded);
    }
    if (full) {
      int8_tiles<Kind, kWide, Simd::kInt8Rows, Simd::kTilePanels>(x, 0, panels, y);
    } else {
      int8_tiles<Kind, kWide, Simd::kInt8Rows, 1>(x, 0, panels, y);
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
#define MK_BLOCK_FORMAT(id, ...) \
  case DType::id:                \
    return int8_format<FormatOf<DType::id>>(x, w, y, panel_begin, panel_end, scratch);
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
    default:
      __builtin_trap();  // kernels/matmul.cpp lets only block formats through
  }
}

// Stores values * factor rounded to nearest even as int8 and adds `weight` times their sums to
// those of the two sixteens; with `rest`, what the rounding left, in units of `step`, is put there.
template <int kVecs>
static inline void store_rounded(const Simd::F (&values)[kVecs], float factor, int8_t* q,
                                 float step, Simd::F* rest, int32_t weight, int32_t* group_sum) {
  for (int v = 0; v < kVecs; ++v) {
    const Simd::F whole = Simd::round(Simd::mul(values[v], Simd::set1(factor)));
    Simd::store_bytes(q + v * Simd::kLanes, whole);
    if (rest != nullptr) rest[v] = Simd::fma(whole, Simd::set1(-step), values[v]);
  }
  for (int g = 0; g < 2; ++g) {
    int32_t sum = 0;
    for (int i = 0; i < kBlockCols / 2; ++i) sum += q[g * kBlockCols / 2 + i];
    group_sum[g] += weight * sum;
  }
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
      int32_t group_sum[2] = {0, 0};
      const bool wide = out.q_low != nullptr;
      store_rounded(values, inverse, out.q + first, step, rest, wide ? 128 : 1, group_sum);
      out.scale[at] = step;
      if (wide) {
        store_rounded(rest, 128.0f * inverse, out.q_low + first, 0.0f, nullptr, 1, group_sum);
        out.scale[at] = step / 128.0f;
      }
      out.group_sum[2 * at] = group_sum[0];
      out.group_sum[2 * at + 1] = group_sum[1];
      out.scale_sum[at] = out.scale[at] * static_cast<float>(group_sum[0] + group_sum[1]);
    }
  }
}
