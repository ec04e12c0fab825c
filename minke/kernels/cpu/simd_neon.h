// The vectors of 64-bit Arm: 4 lanes. Included inside a namespace by neon.cpp (what every such CPU
// has), neon_dot.cpp (with the dot products of Armv8.2) and neon_i8mm.cpp (with the products of two
// rows by two columns of Armv8.6).

struct Simd {
  using F = float32x4_t;  // 4 x f32
  using I = int32x4_t;    // 4 x i32, or 16 x i8
  static constexpr int kLanes = 4;
  // Register tiles: rows of activations x vectors of outputs, of 32 registers.
  static constexpr int kFloatRows = 6;
#ifdef __ARM_FEATURE_MATMUL_INT8
  static constexpr bool kTwoByTwo = true;
  static constexpr int kInt8Rows = 8;
#else
  static constexpr bool kTwoByTwo = false;
  static constexpr int kInt8Rows = 5;
#endif
  static constexpr int kFewRows = 4;  // see matmul_int8_impl.h
  static constexpr int kTilePanels = 1;
  static constexpr int kAttentionCols = 5;
  static constexpr int kAttentionVecs = 4;

  static F zero() { return vdupq_n_f32(0.0f); }
  static F set1(float x) { return vdupq_n_f32(x); }
  static F load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, F x) { vst1q_f32(p, x); }
  static F load_f16(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
  static void store_f16(uint16_t* p, F x) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x))); }
  static F load_bf16(const uint16_t* p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
  }
  static F load_i8(const int8_t* p) {
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    const int16x8_t words = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(words)));
  }
  static F add(F a, F b) { return vaddq_f32(a, b); }
  static F sub(F a, F b) { return vsubq_f32(a, b); }
  static F mul(F a, F b) { return vmulq_f32(a, b); }
  static F div(F a, F b) { return vdivq_f32(a, b); }
  static F max(F a, F b) { return vmaxq_f32(a, b); }
  static F min(F a, F b) { return vminq_f32(a, b); }
  static F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
  static F abs(F a) { return vabsq_f32(a); }
  static F round(F a) { return vrndnq_f32(a); }
  static float max_of(F a) { return vmaxvq_f32(a); }
  // The sum of the lanes in a tree: 2 apart, 1.
  static float sum_of(F a) {
    const float32x2_t by2 = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(vpadd_f32(by2, by2), 0);
  }
  static F keep_at_least(F a, F x, F bound) {
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vcgeq_f32(x, bound)));
  }
  static F first_lanes(F a, int count) {
    const I index = {0, 1, 2, 3};
    return vbslq_f32(vcltq_s32(index, vdupq_n_s32(count)), a, vdupq_n_f32(-__builtin_inff()));
  }
  static F exp2_whole(F n) {
    const I bits = vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127));
    return vreinterpretq_f32_s32(vshlq_n_s32(bits, 23));
  }

  static I zero_int() { return vdupq_n_s32(0); }
  static I load_int(const void* p) { return bytes(vld1q_s8(static_cast<const int8_t*>(p))); }
  static void store_int(void* p, I x) { vst1q_s8(static_cast<int8_t*>(p), bytes(x)); }
  static I add_int(I a, I b) { return vaddq_s32(a, b); }
  static I or_int(I a, I b) { return vorrq_s32(a, b); }
  static I set1_int(int32_t x) { return vdupq_n_s32(x); }
  static I bits(I a, int from, int to, int count) {
    const int8x16_t shift = vdupq_n_s8(static_cast<int8_t>(to - from));
    const uint8x16_t mask = vdupq_n_u8(static_cast<uint8_t>(((1 << count) - 1) << to));
    return vreinterpretq_s32_u8(vandq_u8(vshlq_u8(vreinterpretq_u8_s32(a), shift), mask));
  }
  // q | bits(a, from, to, count).
  static I or_bits(I q, I a, int from, int to, int count) {
    return or_int(q, bits(a, from, to, count));
  }
  static I load_table(const int8_t* table) { return bytes(vld1q_s8(table)); }
  static I lookup(I table, I index) {
    return bytes(vqtbl1q_s8(bytes(table), vreinterpretq_u8_s32(index)));
  }
  static I bytes_to_int(const void* p) {
    uint8x8_t eight = {};
    __builtin_memcpy(&eight, p, 4);
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(eight))));
  }
  static I broadcast4(const void* p) {
    int32_t four;
    __builtin_memcpy(&four, p, 4);
    return vdupq_n_s32(four);
  }
  static I times128(I a) { return vshlq_n_s32(a, 7); }
  static F to_float(I a) { return vcvtq_f32_s32(a); }
  template <int kIndex>
  static F byte_to_float(I a) {
    uint32x4_t shifted = vreinterpretq_u32_s32(a);
    if constexpr (kIndex > 0) shifted = vshrq_n_u32(shifted, 8 * kIndex);
    return vcvtq_f32_u32(vandq_u32(shifted, vdupq_n_u32(255)));
  }
  // sum + (four products of bytes of w with bytes of a, all signed) in each lane.
  static I dot4_signed(I sum, I w, I a) {
#ifdef __ARM_FEATURE_DOTPROD
    return vdotq_s32(sum, bytes(w), bytes(a));
#else
    // Two products add up to 2 x 128 x 127 at most, which 16 bits hold.
    const int16x8_t low = vmull_s8(vget_low_s8(bytes(w)), vget_low_s8(bytes(a)));
    const int16x8_t high = vmull_high_s8(bytes(w), bytes(a));
    return vpadalq_s16(sum, vpaddq_s16(low, high));
#endif
  }
#ifdef __ARM_FEATURE_MATMUL_INT8
  // Eight bytes of each.
  static I load_two(const int8_t* a, const int8_t* b) {
    return bytes(vcombine_s8(vld1_s8(a), vld1_s8(b)));
  }
  // Of two lines of four weights a row: eight weights of the first two rows, and of the others.
  static I first_two(I line, I next) { return vzip1q_s32(line, next); }
  static I last_two(I line, I next) { return vzip2q_s32(line, next); }
  // sum + {a0 w0, a0 w1, a1 w0, a1 w1}, products of eight signed bytes.
  static I dot_two_by_two(I sum, I a, I w) { return vmmlaq_s32(sum, bytes(a), bytes(w)); }
  // Such sums with four rows of w: those of a0, and of a1.
  static I low_halves(I a, I b) { return vcombine_s32(vget_low_s32(a), vget_low_s32(b)); }
  static I high_halves(I a, I b) { return vcombine_s32(vget_high_s32(a), vget_high_s32(b)); }
#endif
  // w unsigned, below 128 (narrow weights): the same bytes as signed.
  static I dot4(I sum, I w, I a) { return dot4_signed(sum, w, a); }
  // The sum of 16 signed bytes.
  static int32_t sum_bytes16(const int8_t* p) { return vaddlvq_s8(vld1q_s8(p)); }
  // Unsigned q + 128 to signed q and back.
  static I flip_signs(I a) { return bytes(veorq_s8(bytes(a), vdupq_n_s8(-128))); }
  static void store_bytes(int8_t* p, F whole) {
    const int16x4_t words = vqmovn_s32(vcvtnq_s32_f32(whole));
    const int8x8_t narrow = vqmovn_s16(vcombine_s16(words, words));
    __builtin_memcpy(p, &narrow, 4);
  }

 private:
  static int8x16_t bytes(I a) { return vreinterpretq_s8_s32(a); }
  static I bytes(int8x16_t a) { return vreinterpretq_s32_s8(a); }
};

// 8-bit weights enter products with their sign: there is no product of mixed signs.
static constexpr bool kSignedBytes = true;
