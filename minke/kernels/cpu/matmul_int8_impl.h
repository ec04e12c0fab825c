// Integer products over packed panels. Included inside a namespace, after tile_impl.h, which says
// what a tile is. An output is, for each group of inputs in order,
//
//   y = fma(dot, s * scale, y)
//   y = fma(t, sum of the group's inputs, y)      where the format has a minimum
//   y = fma(dot_low, s * (scale / 128), y)        where the block has q_low
//
// with the integer dots exact, so its bits do not depend on the instruction set.

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

// The sum over group g of block `at` of whole numbers whose sums over sixteens are given.
template <class Kind>
static inline int32_t group_sum(const int32_t* sums, int64_t at, int g) {
  return Kind::kGroups == 2 ? sums[2 * at + g] : sums[2 * at] + sums[2 * at + 1];
}
// The sum of the inputs themselves.
template <class Kind>
static inline float input_sum(const Int8View& x, int64_t at, int g) {
  if constexpr (Kind::kGroups == 1) return x.scale_sum[at];
  return sum_of_inputs(x.scale[at], x.q_sum[2 * at + g], x.q_low_sum[2 * at + g]);
}

// The first block of each row.
template <int kRows>
struct RowStarts {
  int64_t block[kRows];
};

// The panel's products with four times kCount inputs of each row, in two chains a row that do not
// wait for each other. `q` begins at the block in hand of a row that would begin at 0.
template <class Format, int kCount, int kRows>
[[gnu::always_inline]] static inline void few_dots(Simd::I (&sum)[kRows], const std::byte* lines,
                                                   int first_step, int half, const int8_t* q,
                                                   const RowStarts<kRows>& rows) {
  Simd::I odd[kRows];
  for (int r = 0; r < kRows; ++r) sum[r] = odd[r] = Simd::zero_int();
#pragma GCC unroll 4
  for (int i = 0; i < kCount; i += 2) {
    const int step = first_step + i;
    const Simd::I w = load_step<Format>(lines, step, half);
    const Simd::I next = load_step<Format>(lines, step + 1, half);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const int8_t* a = q + rows.block[r] * kBlockCols + step * 4;
      sum[r] = dot<Format>(sum[r], w, Simd::broadcast4(a));
      odd[r] = dot<Format>(odd[r], next, Simd::broadcast4(a + 4));
    }
  }
  for (int r = 0; r < kRows; ++r) sum[r] = Simd::add_int(sum[r], odd[r]);
}

// A group's products less the weights' bias, as float.
template <class Format>
static inline Simd::F unbiased(Simd::I sum, int32_t sum_of_q) {
  if constexpr (Format::kBias != 0) {
    sum = Simd::add_int(sum, Simd::set1_int(-Format::kBias * sum_of_q));
  }
  return Simd::to_float(sum);
}

// Adds block `at` of each row (block `b` of the unit) to the outputs of `half` of the panel's rows.
template <class Format, int kRows>
[[gnu::always_inline]] static inline void few_block(Simd::F (&f)[kRows][kHalves], const Int8View& x,
                                                    const RowStarts<kRows>& rows, int64_t at,
                                                    const std::byte* unit,
                                                    const SmallNumbers& numbers, int b, int half) {
  constexpr int kCount = kSteps / Format::kGroups;
  const std::byte* lines = unit + Format::kLayout.quants_at + b * Format::kLayout.block_bytes;
#pragma GCC unroll 2
  for (int g = 0; g < Format::kGroups; ++g) {
    const int j = b * Format::kGroups + g;
    const Simd::F s = load_scale<Format>(unit, numbers, j, half);
    Simd::F t = s;
    if constexpr (Format::kHasMin) t = load_min<Format>(unit, numbers, j, half);
    Simd::I sum[kRows];
    few_dots<Format, kCount>(sum, lines, g * kCount, half, x.q + at * kBlockCols, rows);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const int64_t block = rows.block[r] + at;
      Simd::F& y = f[r][half];
      const Simd::F whole = unbiased<Format>(sum[r], group_sum<Format>(x.q_sum, block, g));
      y = Simd::fma(whole, Simd::mul(s, Simd::set1(x.scale[block])), y);
      if constexpr (Format::kHasMin) {
        y = Simd::fma(t, Simd::set1(input_sum<Format>(x, block, g)), y);
      }
      if (!x.has_low[block]) [[likely]]
        continue;
      Simd::I low[1];
      few_dots<Format, kCount>(low, lines, g * kCount, half, x.q_low, RowStarts<1>{block});
      y = Simd::fma(unbiased<Format>(low[0], group_sum<Format>(x.q_low_sum, block, g)),
                    Simd::mul(s, Simd::set1(x.scale[block] / 128.0f)), y);
    }
  }
}

// The sums of kPanels panels (the gate's and the up's), unit by unit in turn: each is a stream that
// the hardware's prefetcher follows, where one after the other it would begin anew with each.
// From what lies `ahead` of them, if it is not 0, a unit's lines are fetched meanwhile.
template <class Format, int kRows, int kPanels>
static inline void few_sums(const Int8View& x, const RowStarts<kRows>& rows,
                            const std::byte* (&units)[kPanels], int64_t ahead,
                            Simd::F (&f)[kPanels][kRows][kHalves]) {
  for (auto& of_panel : f) {
    for (auto& of_row : of_panel) {
      for (Simd::F& value : of_row) value = Simd::zero();
    }
  }
  for (int64_t at = 0; at < x.num_blocks(); at += Format::kBlocks) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      SmallNumbers numbers;
      unpack_numbers<Format>(units[p], numbers);
      if (ahead > 0) {
        for (int line = 0; line < Format::kLayout.unit_bytes; line += 64) {
          __builtin_prefetch(units[p] + ahead + line, 0, 2);
        }
      }
      for (int b = 0; b < Format::kBlocks; ++b) {
        for (int h = 0; h < kHalves; ++h) {
          few_block<Format>(f[p], x, rows, at + b, units[p], numbers, b, h);
        }
      }
      units[p] += Format::kLayout.unit_bytes;
    }
  }
}

// One panel of y for rows [row, row + kRows) of x; with kSwiglu the gate's panel `p`, the up's
// being half of w further. Where x has fewer rows, its last one is computed more than once.
template <class Format, int kRows, bool kSwiglu>
static void int8_few_panel(const Int8View& x, const PackedView& w, const View& y, bool add,
                           int64_t p, int64_t row) {
  const int64_t panel_bytes = x.cols / Format::kLayout.unit_cols * Format::kLayout.unit_bytes;
  constexpr int kPanels = kSwiglu ? 2 : 1;
  const std::byte* units[kPanels];
  for (int i = 0; i < kPanels; ++i) {
    units[i] = w.data + (p + i * (w.num_panels() / 2)) * panel_bytes;
  }
  RowStarts<kRows> rows;
  for (int r = 0; r < kRows; ++r) {
    rows.block[r] = (row + r < x.rows ? row + r : x.rows - 1) * x.num_blocks();
  }
  Simd::F f[kPanels][kRows][kHalves];
  // Past the first rows the panel comes from the cache, and the memory has time for the next one.
  const bool has_next = p + 1 < w.num_panels() / kPanels;
  few_sums<Format>(x, rows, units, row > 0 && has_next ? panel_bytes : 0, f);
  for (int r = 0; r < kRows && row + r < x.rows; ++r) {
    if constexpr (kSwiglu) {
      for (int h = 0; h < kHalves; ++h) f[0][r][h] = swiglu_of(f[0][r][h], f[1][r][h]);
    }
    store_panel(f[0][r], add, y.row<float>(row + r) + p * kPanelRows, w.rows - p * kPanelRows);
  }
}

// Panels [begin, end) of y for few rows, which take the weights through registers, not expanded
// first: four rows from memory, the next ones from the cache.
template <class Format, bool kSwiglu>
static void int8_few(const Int8View& x, const PackedView& w, const View& y, bool add,
                     int64_t panel_begin, int64_t panel_end) {
  constexpr int kAtOnce = 4;
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    for (int64_t row = 0; row < x.rows; row += kAtOnce) {
      switch (x.rows - row) {
        case 1:
          int8_few_panel<Format, 1, kSwiglu>(x, w, y, add, p, row);
          break;
        case 2:
          int8_few_panel<Format, 2, kSwiglu>(x, w, y, add, p, row);
          break;
        default:
          int8_few_panel<Format, kAtOnce, kSwiglu>(x, w, y, add, p, row);
      }
    }
  }
}

// tile_dots() by products of two rows with two outputs. Two vectors of outputs at a time: four
// weight operands and the sums of eight rows fit in 32 registers. (S as in dot().)
template <class Kind, int kRows, int kVecs, class S = Simd>
static inline void tile_dots_two_by_two(Simd::I (&sum)[kRows][kVecs],
                                        const std::byte* const* groups, const int8_t* a,
                                        int64_t stride) {
  constexpr int kTogether = 2;
  for (int v = 0; v < kVecs; v += kTogether) {
    Simd::I first[kRows / 2][kTogether], last[kRows / 2][kTogether];
#pragma GCC unroll 4
    for (int r = 0; r < kRows / 2; ++r) {
      for (int i = 0; i < kTogether; ++i) first[r][i] = last[r][i] = Simd::zero_int();
    }
#pragma GCC unroll 4
    for (int step = 0; step < Kind::Group::kSteps; step += 2) {
      Simd::I w[kTogether][2];
#pragma GCC unroll 2
      for (int i = 0; i < kTogether; ++i) {
        const std::byte* line = groups[v + i] + step * kLineBytes;
        const Simd::I even = Simd::load_int(line), odd = Simd::load_int(line + kLineBytes);
        w[i][0] = S::first_two(even, odd);
        w[i][1] = S::last_two(even, odd);
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows / 2; ++r) {
        const int8_t* from = a + 2 * r * stride + step * 4;
        const Simd::I two = S::load_two(from, from + stride);
#pragma GCC unroll 2
        for (int i = 0; i < kTogether; ++i) {
          first[r][i] = S::dot_two_by_two(first[r][i], two, w[i][0]);
          last[r][i] = S::dot_two_by_two(last[r][i], two, w[i][1]);
        }
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows / 2; ++r) {
      for (int i = 0; i < kTogether; ++i) {
        const Simd::I low = S::low_halves(first[r][i], last[r][i]);
        const Simd::I high = S::high_halves(first[r][i], last[r][i]);
        sum[2 * r][v + i] = Simd::add_int(sum[2 * r][v + i], low);
        sum[2 * r + 1][v + i] = Simd::add_int(sum[2 * r + 1][v + i], high);
      }
    }
  }
}

// Adds the products of one group of kRows rows of activations (at a, `stride` apart) to `sum`.
template <class Kind, int kRows, int kVecs>
static inline void tile_dots(Simd::I (&sum)[kRows][kVecs], const std::byte* const* groups,
                             const int8_t* a, int64_t stride) {
  if constexpr (Simd::kTwoByTwo && kRows % 2 == 0) {
    return tile_dots_two_by_two<Kind>(sum, groups, a, stride);
  }
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

// The float sums of a tile, in memory between blocks: the registers are the integer sums'.
template <int kRows, int kVecs>
struct TileSums {
  Simd::F f[kRows][kVecs];
};

// The second product of the rows that have a q_low in block b, of group g. Not inlined, so that the
// compiler keeps the common case tight.
template <class Kind, int kRows, int kVecs>
[[gnu::noinline]] static void add_low(TileSums<kRows, kVecs>& sums, const Int8View& x, int64_t row,
                                      int64_t b, int g, const std::byte* const* groups, int bias) {
  for (int r = 0; r < kRows; ++r) {
    const int64_t at = (row + r) * x.num_blocks() + b;
    if (!x.has_low[at]) continue;
    const int8_t* a = x.q_low + at * kBlockCols + g * Kind::Group::kSteps * 4;
    const Simd::F scale = Simd::set1(x.scale[at] / 128.0f);
    for (int v = 0; v < kVecs; ++v) {
      Simd::I even = Simd::zero_int(), odd = Simd::zero_int();
#pragma GCC unroll 4
      for (int step = 0; step < Kind::Group::kSteps; step += 2) {
        const std::byte* line = groups[v] + step * kLineBytes;
        even = dot<Kind>(even, Simd::load_int(line), Simd::broadcast4(a + step * 4));
        odd = dot<Kind>(odd, Simd::load_int(line + kLineBytes), Simd::broadcast4(a + step * 4 + 4));
      }
      Simd::I sum = Simd::add_int(even, odd);
      if constexpr (!Kind::kHasMin && !Kind::kSigned) {
        sum = Simd::add_int(sum, Simd::set1_int(-bias * group_sum<Kind>(x.q_low_sum, at, g)));
      }
      const Simd::F s =
          Simd::load(reinterpret_cast<const float*>(groups[v] + Kind::Group::kScaleAt));
      sums.f[r][v] = Simd::fma(Simd::to_float(sum), Simd::mul(s, scale), sums.f[r][v]);
    }
  }
}

// Adds group g of block b.
template <class Kind, int kRows, int kVecs>
static inline void add_group(TileSums<kRows, kVecs>& sums, const Int8View& x, int64_t row,
                             int64_t b, int g, const std::byte* const* groups, int bias) {
  Simd::I sum[kRows][kVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    Simd::I start = Simd::zero_int();
    if constexpr (!Kind::kHasMin && !Kind::kSigned) {
      const int64_t at = (row + r) * x.num_blocks() + b;
      start = Simd::set1_int(-bias * group_sum<Kind>(x.q_sum, at, g));
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) sum[r][v] = start;
  }
  const int64_t first = row * x.cols + b * kBlockCols + g * Kind::Group::kSteps * 4;
  tile_dots<Kind, kRows, kVecs>(sum, groups, x.q + first, x.cols);
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
      Simd::F f = sums.f[r][v];
      f = Simd::fma(Simd::to_float(sum[r][v]), Simd::mul(s, Simd::set1(x.scale[at])), f);
      if constexpr (Kind::kHasMin) f = Simd::fma(t, Simd::set1(input_sum<Kind>(x, at, g)), f);
      sums.f[r][v] = f;
    }
  }
}

// With few rows a panel is computed as fast as the next ones come from memory. They are fetched to
// L2 meanwhile, some lines with each block, so that neither waits for the other.
struct ReadAhead {
  const std::byte* panels[2] = {};
  int num_panels = 0;
  int64_t bytes_left = 0;  // of each panel
  int64_t block_bytes = 0;

  void fetch() {
    if (bytes_left <= 0) return;
    for (int i = 0; i < num_panels; ++i) {
      for (int64_t at = 0; at < block_bytes; at += 64) __builtin_prefetch(panels[i] + at, 0, 2);
      panels[i] += block_bytes;
    }
    bytes_left -= block_bytes;
  }
};

// Where a tile finds its weights and puts its results.
struct TilePanels {
  const std::byte* expanded[2];  // ExpandedGroups
  int bias;                      // what their bytes have too much
  TileOutputs out;
};

// With kSwiglu the first panel is the gate's and the second the up's.
template <class Kind, int kRows, int kPanels, bool kSwiglu>
static void int8_tile(const Int8View& x, int64_t row, const TilePanels& panels, ReadAhead& ahead) {
  constexpr int kVecs = kPanels * kHalves;
  TileSums<kRows, kVecs> sums;
  for (auto& of_row : sums.f) {
    for (Simd::F& value : of_row) value = Simd::zero();
  }
  const std::byte* groups[kVecs];  // the current group's lines, for each vector
  for (int v = 0; v < kVecs; ++v) {
    groups[v] = panels.expanded[v / kHalves] + v % kHalves * Simd::kLanes * 4;
  }
  for (int64_t b = 0; b < x.num_blocks(); ++b) {
    ahead.fetch();
    int has_low = 0;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) has_low |= x.has_low[(row + r) * x.num_blocks() + b];
    for (int g = 0; g < Kind::kGroups; ++g) {
      add_group<Kind, kRows, kVecs>(sums, x, row, b, g, groups, panels.bias);
      if (has_low) add_low<Kind, kRows, kVecs>(sums, x, row, b, g, groups, panels.bias);
      for (const std::byte*& group : groups) group += Kind::Group::kBytes;
    }
  }
  if constexpr (kSwiglu) {
    for (int r = 0; r < kRows; ++r) {
      for (int h = 0; h < kHalves; ++h) {
        sums.f[r][h] = swiglu_of(sums.f[r][h], sums.f[r][kHalves + h]);
      }
      store_panel(sums.f[r], false, panels.out.y.row<float>(row + r) + panels.out.first_col,
                  kPanelRows);
    }
  } else {
    store_tile<kRows, kPanels>(sums.f, row, panels.out);
  }
}

// Tiles of kRows rows at most.
template <class Kind, int kRows, int kPanels, bool kSwiglu>
static void int8_tiles(const Int8View& x, const TilePanels& panels, ReadAhead& ahead) {
  each_tile<kRows, Simd::kTwoByTwo ? 2 : 1>(0, x.rows, [&]<int kTileRows>(int64_t row) {
    int8_tile<Kind, kTileRows, kPanels, kSwiglu>(x, row, panels, ahead);
  });
}

template <class Format, bool kSwiglu>
static void int8_panels(const Int8View& x, const PackedView& w, const View& y, bool add,
                        int64_t panel_begin, int64_t panel_end, std::byte* scratch) {
  using Kind = KindOf<Format>;
  if (x.rows <= Simd::kFewRows) {
    return int8_few<Format, kSwiglu>(x, w, y, add, panel_begin, panel_end);
  }
  const int64_t panel_bytes = x.cols / Format::kLayout.unit_cols * Format::kLayout.unit_bytes;
  // Panels of y that a tile makes, and panels of w that it needs for each.
  constexpr int kStep = kSwiglu ? 1 : Simd::kTilePanels;
  constexpr int kEach = kSwiglu ? 2 : 1;
  constexpr int kRows = Simd::kInt8Rows * Simd::kTilePanels / (kStep * kEach);
  const auto panel_at = [&](int64_t p, int i) {
    return w.data + (p + (kSwiglu ? i * w.num_panels() / 2 : i)) * panel_bytes;
  };
  const int64_t num_blocks = (x.rows + kRows - 1) / kRows * x.num_blocks();  // of all tiles
  for (int64_t p = panel_begin; p < panel_end; p += kStep) {
    TilePanels panels{{}, Format::kBias, outputs_at(y, w, p, add)};
    const bool full = p + kStep <= panel_end;
    for (int i = 0; i < (full ? kStep * kEach : 1); ++i) {
      // Expanded, an input takes 24 bytes at most of the 64 that the scratch has for it.
      std::byte* expanded = scratch + i * x.cols * kPanelRows * 4;
      panels.expanded[i] = expanded;
      expand_bytes<Format>(panel_at(p, i), x.cols, expanded);
    }
    ReadAhead ahead;
    if (p + 2 * kStep <= w.num_panels() / kEach) {
      ahead.num_panels = kStep * kEach;
      for (int i = 0; i < ahead.num_panels; ++i) ahead.panels[i] = panel_at(p + kStep, i);
      ahead.bytes_left = panel_bytes;
      ahead.block_bytes = (panel_bytes / num_blocks + 63) / 64 * 64;
    }
    if (full) {
      int8_tiles<Kind, kRows, kStep * kEach, kSwiglu>(x, panels, ahead);
    } else if constexpr (!kSwiglu) {
      int8_tiles<Kind, kRows, 1, false>(x, panels, ahead);
    }
  }
}

template <bool kSwiglu>
static inline void int8_formats(const Int8View& x, const PackedView& w, const View& y, bool add,
                                int64_t panel_begin, int64_t panel_end, std::byte* scratch) {
  switch (w.dtype) {
#define MK_BLOCK_FORMAT(id, ...) \
  case DType::id:                \
    return int8_panels<FormatOf<DType::id>, kSwiglu>(x, w, y, add, panel_begin, panel_end, scratch);
#include "minke/dtype/block_formats.def"
#undef MK_BLOCK_FORMAT
    default:
      __builtin_trap();  // kernels/matmul.cpp lets only block formats through
  }
}

void matmul_int8(const Int8View& x, const PackedView& w, const View& y, bool add,
                 int64_t panel_begin, int64_t panel_end, std::byte* scratch) {
  int8_formats<false>(x, w, y, add, panel_begin, panel_end, scratch);
}

// w's panels are whole: the gate's first, the up's in the second half.
void matmul_int8_swiglu(const Int8View& x, const PackedView& w, const View& y, int64_t panel_begin,
                        int64_t panel_end, std::byte* scratch) {
  int8_formats<true>(x, w, y, false, panel_begin, panel_end, scratch);
}
