// The vectors of AVX2 with FMA and F16C: 8 lanes. Included inside a namespace by avx2.cpp and by
// avx_vnni.cpp, whose CPUs have integer dot products, too.

struct Simd : X86 {
  using F = __m256;   // 8 x f32
  using I = __m256i;  // 8 x i32, or 32 x i8
  static constexpr int kLanes = 8;
  // Register tiles: rows of activations x vectors of outputs, of 16 registers.
  static constexpr int kFloatRows = 6;
  static constexpr int kInt8Rows = 4;
  static constexpr bool kTwoByTwo = false;
  static constexpr int kFewRows = 4;  // see matmul_int8_impl.h
  static constexpr int kTilePanels = 1;
  static constexpr int kAttentionCols = 3;
  static constexpr int kAttentionVecs = 4;

  static F zero() { return _mm256_setzero_ps(); }
  static F set1(float x) { return _mm256_set1_ps(x); }
  static F load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, F x) { _mm256_storeu_ps(p, x); }
  static F load_f16(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void store_f16(uint16_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                     _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
  static F load_bf16(const uint16_t* p) {
    const I wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
  }
  static F load_i8(const int8_t* p) {
    return _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
  }
  static F add(F a, F b) { return _mm256_add_ps(a, b); }
  static F sub(F a, F b) { return _mm256_sub_ps(a, b); }
  static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  static F div(F a, F b) { return _mm256_div_ps(a, b); }
  static F max(F a, F b) { return _mm256_max_ps(a, b); }
  static F min(F a, F b) { return _mm256_min_ps(a, b); }
  static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  static F abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static F round(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static float max_of(F a) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    m = _mm_max_ss(m, _mm_shuffle_ps(m, m, 1));
    return _mm_cvtss_f32(m);
  }
  // The sum of the lanes in a tree: 4 apart, 2, 1.
  static float sum_of(F a) { return sum_of_8(a); }
  static F keep_at_least(F a, F x, F bound) {
    return _mm256_and_ps(a, _mm256_cmp_ps(x, bound, _CMP_GE_OQ));
  }
  static F first_lanes(F a, int count) {
    const I index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const I inside = _mm256_cmpgt_epi32(_mm256_set1_epi32(count), index);
    return _mm256_blendv_ps(_mm256_set1_ps(-__builtin_inff()), a, _mm256_castsi256_ps(inside));
  }
  static F exp2_whole(F n) {
    const I bits = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
  }

  static I zero_int() { return _mm256_setzero_si256(); }
  static I load_int(const void* p) { return _mm256_loadu_si256(static_cast<const I*>(p)); }
  static void store_int(void* p, I x) { _mm256_storeu_si256(static_cast<I*>(p), x); }
  static I add_int(I a, I b) { return _mm256_add_epi32(a, b); }
  static I or_int(I a, I b) { return _mm256_or_si256(a, b); }
  static I set1_int(int32_t x) { return _mm256_set1_epi32(x); }
  static I bits(I a, int from, int to, int count) {
    const I mask = _mm256_set1_epi8(static_cast<char>(((1 << count) - 1) << to));
    if (from > to) a = _mm256_srli_epi16(a, from - to);
    if (from < to) a = _mm256_slli_epi16(a, to - from);
    return _mm256_and_si256(a, mask);
  }
  // q | bits(a, from, to, count).
  static I or_bits(I q, I a, int from, int to, int count) {
    return or_int(q, bits(a, from, to, count));
  }
  static I load_table(const int8_t* table) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  }
  static I lookup(I table, I index) { return _mm256_shuffle_epi8(table, index); }
  static I bytes_to_int(const void* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p)));
  }
  static I broadcast4(const void* p) {
    int32_t bytes;
    __builtin_memcpy(&bytes, p, 4);
    return _mm256_set1_epi32(bytes);
  }
  static I times128(I a) { return _mm256_slli_epi32(a, 7); }
  static F to_float(I a) { return _mm256_cvtepi32_ps(a); }
  template <int kIndex>
  static F byte_to_float(I a) {
    const I shifted = _mm256_srli_epi32(a, 8 * kIndex);
    return _mm256_cvtepi32_ps(kIndex == 3 ? shifted
                                          : _mm256_and_si256(shifted, _mm256_set1_epi32(255)));
  }
#ifdef __AVXVNNI__
  // In asm as in simd_avx512.h.
  static I dot4(I sum, I w, I a) {
    asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(w), "x"(a));
    return sum;
  }
#else
  // vpmaddubsw saturates at 32,767: with 6-bit weights 2 x 63 x 127 fits, with 8-bit ones
  // 2 x 255 x 127 would not, so those enter as |w| (at most 128) and a with w's sign: 2 x 128 x
  // 127.
  static I dot4(I sum, I w, I a) {
    const I pairs = _mm256_maddubs_epi16(w, a);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
  static I dot4_signed(I sum, I w, I a) {
    return dot4(sum, _mm256_abs_epi8(w), _mm256_sign_epi8(a, w));
  }
#endif
  // Unsigned q + 128 to signed q and back.
  static I flip_signs(I a) { return _mm256_xor_si256(a, _mm256_set1_epi8(-128)); }
  static void store_bytes(int8_t* p, F whole) {
    const I words = _mm256_cvtps_epi32(whole);
    const __m128i halves =
        _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(halves, halves));
  }
};

#ifdef __AVXVNNI__
static constexpr bool kSignedBytes = false;  // all weights are unsigned for vpdpbusd
#else
static constexpr bool kSignedBytes = true;  // 8-bit ones enter with their sign, see dot4_signed
#endif
