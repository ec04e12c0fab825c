// The vectors of AVX-512 with VNNI: 16 lanes. Included inside a namespace by avx512_vnni.cpp and
// avx512_bf16.cpp.

struct Simd : X86 {
  using F = __m512;   // 16 x f32
  using I = __m512i;  // 16 x i32, or 64 x i8
  static constexpr int kLanes = 16;
  // Register tiles: rows of activations x vectors of outputs, of 32 registers.
  static constexpr int kFloatRows = 8;
  static constexpr int kInt8Rows = 6;
  static constexpr bool kTwoByTwo = false;
  static constexpr int kFewRows = 8;  // see matmul_int8_impl.h
  static constexpr int kTilePanels = 2;
  static constexpr int kAttentionCols = 6;
  static constexpr int kAttentionVecs = 4;

  static F zero() { return _mm512_setzero_ps(); }
  static F set1(float x) { return _mm512_set1_ps(x); }
  static F load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, F x) { _mm512_storeu_ps(p, x); }
  static F load_f16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static void store_f16(uint16_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static F load_bf16(const uint16_t* p) {
    const I wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
  }
  static F load_i8(const int8_t* p) {
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
  }
  static F add(F a, F b) { return _mm512_add_ps(a, b); }
  static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  static F div(F a, F b) { return _mm512_div_ps(a, b); }
  static F max(F a, F b) { return _mm512_max_ps(a, b); }
  static F min(F a, F b) { return _mm512_min_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  static F abs(F a) { return _mm512_abs_ps(a); }
  static F round(F a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static float max_of(F a) { return _mm512_reduce_max_ps(a); }
  // The sum of the lanes in a tree: 8 apart, 4, 2, 1.
  static float sum_of(F a) {
    return sum_of_8(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1)));
  }
  // a where x >= bound, else 0.
  static F keep_at_least(F a, F x, F bound) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, bound, _CMP_GE_OQ), a);
  }
  // The first `count` lanes of a, -inf in the rest.
  static F first_lanes(F a, int count) {
    return _mm512_mask_mov_ps(_mm512_set1_ps(-__builtin_inff()),
                              static_cast<__mmask16>((1u << count) - 1), a);
  }
  // 2^n for whole n in [-126, 127].
  static F exp2_whole(F n) {
    const I bits = _mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 23));
  }

  static I zero_int() { return _mm512_setzero_si512(); }
  static I load_int(const void* p) { return _mm512_loadu_si512(p); }
  static void store_int(void* p, I x) { _mm512_storeu_si512(p, x); }
  static I add_int(I a, I b) { return _mm512_add_epi32(a, b); }
  static I set1_int(int32_t x) { return _mm512_set1_epi32(x); }
  // `count` bits of each byte from bit `from` on, moved to bit `to`; the others 0.
  static I bits(I a, int from, int to, int count) {
    return _mm512_and_si512(moved(a, from, to), mask_of(to, count));
  }
  // q | bits(a, from, to, count).
  static I or_bits(I q, I a, int from, int to, int count) {
    constexpr int kFirstOrBothOthers = 0xF8;
    return _mm512_ternarylogic_epi32(q, moved(a, from, to), mask_of(to, count), kFirstOrBothOthers);
  }
  static I mask_of(int to, int count) {
    return _mm512_set1_epi8(static_cast<char>(((1 << count) - 1) << to));
  }
  static I moved(I a, int from, int to) {
    if (from > to) return _mm512_srli_epi16(a, static_cast<unsigned>(from - to));
    if (from < to) return _mm512_slli_epi16(a, static_cast<unsigned>(to - from));
    return a;
  }
  // The 16 bytes of a table for lookup(), which takes of each byte of `index` (0..15) its entry.
  static I load_table(const int8_t* table) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  }
  static I lookup(I table, I index) { return _mm512_shuffle_epi8(table, index); }
  // kLanes unsigned bytes, each in a lane.
  static I bytes_to_int(const void* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p)));
  }
  static I broadcast4(const void* p) {
    int32_t bytes;
    __builtin_memcpy(&bytes, p, 4);
    return _mm512_set1_epi32(bytes);
  }
  static I times128(I a) { return _mm512_slli_epi32(a, 7); }
  static F to_float(I a) { return _mm512_cvtepi32_ps(a); }
  // Byte `index` (0..3) of each 32-bit lane as unsigned, as float.
  template <int kIndex>
  static F byte_to_float(I a) {
    const I shifted = _mm512_srli_epi32(a, 8 * kIndex);
    return _mm512_cvtepi32_ps(kIndex == 3 ? shifted
                                          : _mm512_and_si512(shifted, _mm512_set1_epi32(255)));
  }
  // sum + (four products of unsigned bytes of w with signed bytes of a) in each lane.
  // In asm: g++ 12 does not keep a tile of these accumulators in registers otherwise.
  static I dot4(I sum, I w, I a) {
    asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(a));
    return sum;
  }
  // Unsigned q + 128 to signed q and back.
  static I flip_signs(I a) { return _mm512_xor_si512(a, _mm512_set1_epi8(-128)); }
  static void store_bytes(int8_t* p, F whole) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(whole)));
  }
};

// All weights are unsigned for vpdpbusd.
static constexpr bool kSignedBytes = false;
