// What the instruction sets of x86 share. Included inside a namespace, before simd_avx2.h or
// simd_avx512.h.

struct X86 {
  // The sum of the lanes in a tree: 4 apart, 2, 1.
  static float sum_of_8(__m256 a) {
    const __m128 by4 = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 by2 = _mm_add_ps(by4, _mm_movehl_ps(by4, by4));
    return _mm_cvtss_f32(_mm_add_ss(by2, _mm_shuffle_ps(by2, by2, 1)));
  }
  // The sum of 16 signed bytes.
  static int32_t sum_bytes16(const int8_t* p) {
    const __m128i biased =
        _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), _mm_set1_epi8(-128));
    const __m128i sums = _mm_sad_epu8(biased, _mm_setzero_si128());  // of eight each
    return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
  }
};
