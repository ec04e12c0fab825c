// Block formats in vectors: bytes, scales and minima out of a unit of kernels/panel.h.
// Included inside a namespace, after tile_impl.h.

static constexpr int kSteps = kBlockCols / 4;  // of four inputs, in 32

// A block format as constants of this instruction set.
template <DType kDType>
struct FormatOf {
  static constexpr BlockFormat kNumbers = block_format_of(kDType);
  static constexpr PanelLayout kLayout = panel_layout_of(kNumbers);
  static constexpr int kBlocks = kLayout.unit_cols / kBlockCols;    // of 32 inputs, in a unit
  static constexpr int kGroups = kBlockCols / kNumbers.group_size;  // in 32 inputs
  static constexpr int kGroupsInUnit = kBlocks * kGroups;
  static constexpr bool kHasMin = kNumbers.has_min;
  // Weights of 8 bits that enter integer products with their sign: nothing is to be subtracted.
  static constexpr bool kSigned = kSignedBytes && (kNumbers.bits == 8 || kNumbers.uses_table);
  // What unsigned bytes have too much. (A table's values become unsigned by adding 128.)
  static constexpr int kUnsignedBias = kNumbers.uses_table ? 128 : kNumbers.bias;
  static constexpr int kBias = kSigned ? 0 : kUnsignedBias;
};

// Unsigned numbers of one step of four inputs of 32: the bytes of `half` of the panel's rows.
template <class Format>
static inline Simd::I unsigned_step(const std::byte* lines, int step, int half) {
  constexpr PanelLayout kLayout = Format::kLayout;
  const std::byte* at = lines + half * Simd::kLanes * 4;
  Simd::I q;
  if constexpr (kLayout.low_bits == 8) {
    q = Simd::load_int(at + step * kLineBytes);
  } else if constexpr (kLayout.low_bits == 4) {
    q = Simd::bits(Simd::load_int(at + step / 2 * kLineBytes), step % 2 * 4, 0, 4);
  } else {
    q = Simd::bits(Simd::load_int(at + step / 4 * kLineBytes), step % 4 * 2, 0, 2);
  }
  const std::byte* high = at + kLayout.high_at;
  if constexpr (kLayout.high_bits == 1) {
    q = Simd::or_bits(q, Simd::load_int(high), step, kLayout.low_bits, 1);
  } else if constexpr (kLayout.high_bits == 2) {
    const Simd::I line = Simd::load_int(high + step / 4 * kLineBytes);
    q = Simd::or_bits(q, line, step % 4 * 2, kLayout.low_bits, 2);
  }
  if constexpr (Format::kNumbers.uses_table) {
    q = Simd::flip_signs(Simd::lookup(Simd::load_table(kIq4Values), q));
  }
  return q;
}

// The same as integer products take them.
template <class Format>
static inline Simd::I load_step(const std::byte* lines, int step, int half) {
  const Simd::I q = unsigned_step<Format>(lines, step, half);
  if constexpr (Format::kSigned) return Simd::flip_signs(q);
  return q;
}

static inline Simd::F load_halves(const std::byte* halves, int half) {
  return Simd::load_f16(reinterpret_cast<const uint16_t*>(halves) + half * Simd::kLanes);
}

// The small numbers of a unit, a byte each. Unpacking them all costs a third of what each by itself
// does, which one row of activations feels.
struct SmallNumbers {
  using Line [[gnu::vector_size(kPanelRows), gnu::may_alias]] = uint8_t;  // of each row
  Line lines[32];

  Simd::I at(int j, int half) const {
    return Simd::bytes_to_int(reinterpret_cast<const uint8_t*>(&lines[j]) + half * Simd::kLanes);
  }
};

template <class Format>
[[gnu::always_inline]] static inline void unpack_numbers(const std::byte* unit,
                                                         SmallNumbers& numbers) {
  constexpr PanelLayout kLayout = Format::kLayout;
  constexpr int kBits = Format::kNumbers.scale_bits;
  if constexpr (kBits == 0) return;
  using Line = SmallNumbers::Line;
  const auto* low = reinterpret_cast<const Line*>(unit + kLayout.numbers_at);
  const auto* high = reinterpret_cast<const Line*>(unit + kLayout.high_numbers_at);
#pragma GCC unroll 32
  for (int j = 0; j < kLayout.num_numbers; ++j) {
    if constexpr (kBits == 8) {
      numbers.lines[j] = low[j];
    } else {
      numbers.lines[j] = low[j / 2] >> (j % 2 * 4) & 15;
      if constexpr (kBits == 6) numbers.lines[j] |= (high[j / 4] >> (j % 4 * 2) & 3) << 4;
    }
  }
}

// s and t of group j of the unit, see BlockFormat.
template <class Format>
static inline Simd::F load_scale(const std::byte* unit, const SmallNumbers& numbers, int j,
                                 int half) {
  const Simd::F d = load_halves(unit, half);
  if constexpr (Format::kNumbers.scale_bits == 0) {
    return d;
  } else {
    const Simd::I bias = Simd::set1_int(-Format::kNumbers.scale_bias);
    return Simd::mul(d, Simd::to_float(Simd::add_int(numbers.at(j, half), bias)));
  }
}

template <class Format>
static inline Simd::F load_min(const std::byte* unit, const SmallNumbers& numbers, int j,
                               int half) {
  const Simd::F m = load_halves(unit + Format::kLayout.m_at, half);
  if constexpr (Format::kNumbers.scale_bits == 0) {
    return m;
  } else {
    const Simd::F number = Simd::to_float(numbers.at(Format::kGroupsInUnit + j, half));
    return Simd::sub(Simd::zero(), Simd::mul(m, number));
  }
}

// A panel as f32 [cols][16].
template <class Format>
static void expand_floats(const std::byte* unit, int64_t cols, float* out) {
  constexpr PanelLayout kLayout = Format::kLayout;
  for (int64_t k = 0; k < cols; k += kLayout.unit_cols, unit += kLayout.unit_bytes) {
    SmallNumbers numbers;
    unpack_numbers<Format>(unit, numbers);
    for (int j = 0; j < Format::kGroupsInUnit;
         ++j, out += kBlockCols / Format::kGroups * kPanelRows) {
      const std::byte* lines = unit + kLayout.quants_at + j / Format::kGroups * kLayout.block_bytes;
      for (int h = 0; h < kHalves; ++h) {
        const Simd::F s = load_scale<Format>(unit, numbers, j, h);
        Simd::F t = Simd::mul(s, Simd::set1(static_cast<float>(-Format::kUnsignedBias)));
        if constexpr (Format::kHasMin) t = load_min<Format>(unit, numbers, j, h);
        float* to = out + h * Simd::kLanes;
        for (int i = 0; i < kSteps / Format::kGroups; ++i, to += 4 * kPanelRows) {
          const int step = j % Format::kGroups * (kSteps / Format::kGroups) + i;
          const Simd::I four = unsigned_step<Format>(lines, step, h);
          Simd::store(to + 0 * kPanelRows, Simd::fma(Simd::byte_to_float<0>(four), s, t));
          Simd::store(to + 1 * kPanelRows, Simd::fma(Simd::byte_to_float<1>(four), s, t));
          Simd::store(to + 2 * kPanelRows, Simd::fma(Simd::byte_to_float<2>(four), s, t));
          Simd::store(to + 3 * kPanelRows, Simd::fma(Simd::byte_to_float<3>(four), s, t));
        }
      }
    }
  }
}

// A panel for integer products, group after group of inputs (kGroups of them in 32): one byte a
// weight [steps of four inputs][16 rows][4], then 16 x f32 s and, with a minimum, 16 x f32 t.
template <int kGroups, bool kHasMin>
struct ExpandedGroup {
  static constexpr int kSteps = kBlockCols / 4 / kGroups;
  static constexpr int kScaleAt = kSteps * kLineBytes;
  static constexpr int kMinAt = kScaleAt + kLineBytes;
  static constexpr int kBytes = kMinAt + (kHasMin ? kLineBytes : 0);
};

template <class Format>
static void expand_bytes(const std::byte* unit, int64_t cols, std::byte* out) {
  using Group = ExpandedGroup<Format::kGroups, Format::kHasMin>;
  constexpr PanelLayout kLayout = Format::kLayout;
  for (int64_t k = 0; k < cols; k += kLayout.unit_cols, unit += kLayout.unit_bytes) {
    SmallNumbers numbers;
    unpack_numbers<Format>(unit, numbers);
    for (int j = 0; j < Format::kGroupsInUnit; ++j, out += Group::kBytes) {
      const std::byte* lines = unit + kLayout.quants_at + j / Format::kGroups * kLayout.block_bytes;
      const int first_step = j % Format::kGroups * Group::kSteps;
      for (int h = 0; h < kHalves; ++h) {
        std::byte* to = out + h * Simd::kLanes * 4;
#pragma GCC unroll 8
        for (int i = 0; i < Group::kSteps; ++i) {
          Simd::store_int(to + i * kLineBytes, load_step<Format>(lines, first_step + i, h));
        }
        Simd::store(reinterpret_cast<float*>(to + Group::kScaleAt),
                    load_scale<Format>(unit, numbers, j, h));
        if constexpr (Format::kHasMin) {
          Simd::store(reinterpret_cast<float*>(to + Group::kMinAt),
                      load_min<Format>(unit, numbers, j, h));
        }
      }
    }
  }
}
