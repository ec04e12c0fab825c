#include "minke/cli/peak_loops.h"

#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

// Each function carries its instruction set as an attribute and is called only where the CPU has
// it. The empty asm statements hide a value from the compiler, which would otherwise compute a
// loop's invariant products once.

namespace minke {
namespace {

constexpr int kAccumulators = 12;

// Keeps a result alive without storing it anywhere. Give it one vector, not an array of sums:
// naming the array as memory would put every sum there, and the loop would measure loads and
// stores.
template <class T>
inline void keep(const T& value) {
  asm volatile("" : : "m"(value) : "memory");
}

void f32_portable(int64_t turns) {
  float sums[kAccumulators] = {};
  float x = 0.999f;
  for (int64_t turn = 0; turn < turns; ++turn) {
    asm volatile("" : "+m"(x));
    for (float& sum : sums) sum = sum * x + 1e-3f;
  }
  for (int i = 1; i < kAccumulators; ++i) sums[0] += sums[i];
  const auto total = sums[0];
  keep(total);
}

void int8_portable(int64_t turns) {
  int32_t sums[kAccumulators] = {};
  int8_t x = 3;
  for (int64_t turn = 0; turn < turns; ++turn) {
    asm volatile("" : "+m"(x));
    for (int32_t& sum : sums) sum += x * x;
  }
  for (int i = 1; i < kAccumulators; ++i) sums[0] += sums[i];
  const auto total = sums[0];
  keep(total);
}

uint64_t read_portable(const std::byte* data, size_t bytes) {
  const uint64_t* words = reinterpret_cast<const uint64_t*>(data);
  uint64_t a = 0, b = 0, c = 0, d = 0;
  for (size_t i = 0; i < bytes / 8; i += 4) {
    a ^= words[i];
    b ^= words[i + 1];
    c ^= words[i + 2];
    d ^= words[i + 3];
  }
  return a ^ b ^ c ^ d;
}

#if defined(__x86_64__)

__attribute__((target("avx2,fma"))) void f32_avx2(int64_t turns) {
  __m256 sums[kAccumulators];
  for (int i = 0; i < kAccumulators; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 x = _mm256_set1_ps(0.999f);
  const __m256 y = _mm256_set1_ps(1e-3f);
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 12
    for (int i = 0; i < kAccumulators; ++i) {
      sums[i] = _mm256_fmadd_ps(sums[i], x, y);
      asm volatile("" : "+x"(sums[i]));
    }
  }
  for (int i = 1; i < kAccumulators; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  const auto total = sums[0];
  keep(total);
}

__attribute__((target("avx512f"))) void f32_avx512(int64_t turns) {
  __m512 sums[kAccumulators];
  for (int i = 0; i < kAccumulators; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 x = _mm512_set1_ps(0.999f);
  const __m512 y = _mm512_set1_ps(1e-3f);
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 12
    for (int i = 0; i < kAccumulators; ++i) {
      sums[i] = _mm512_fmadd_ps(sums[i], x, y);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  for (int i = 1; i < kAccumulators; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  const auto total = sums[0];
  keep(total);
}

// Without VNNI an int8 product takes three instructions: to 16 bits, to 32 bits, and the addition.
// Eight sums, each with a product of its own on the way, are what sixteen registers hold.
constexpr int kAvx2Int8Sums = 8;
__attribute__((target("avx2"))) void int8_avx2(int64_t turns) {
  __m256i sums[kAvx2Int8Sums];
  for (int i = 0; i < kAvx2Int8Sums; ++i) sums[i] = _mm256_set1_epi32(i);
  __m256i x = _mm256_set1_epi8(3);
  const __m256i y = _mm256_set1_epi8(2);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 8
    for (int i = 0; i < kAvx2Int8Sums; ++i) {
      asm volatile("" : "+x"(x));
      const __m256i pairs = _mm256_maddubs_epi16(x, y);
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
      asm volatile("" : "+x"(sums[i]));
    }
  }
  for (int i = 1; i < kAvx2Int8Sums; ++i) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  const auto total = sums[0];
  keep(total);
}

__attribute__((target("avx512f,avx512vnni"))) void int8_avx512_vnni(int64_t turns) {
  __m512i sums[kAccumulators];
  for (int i = 0; i < kAccumulators; ++i) sums[i] = _mm512_set1_epi32(i);
  const __m512i x = _mm512_set1_epi8(3);
  const __m512i y = _mm512_set1_epi8(2);
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 12
    for (int i = 0; i < kAccumulators; ++i) {
      sums[i] = _mm512_dpbusd_epi32(sums[i], x, y);
      asm volatile("" : "+v"(sums[i]));
    }
  }
  for (int i = 1; i < kAccumulators; ++i) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  const auto total = sums[0];
  keep(total);
}

__attribute__((target("avx2"))) uint64_t read_avx2(const std::byte* data, size_t bytes) {
  const __m256i* at = reinterpret_cast<const __m256i*>(data);
  __m256i sums[4] = {};
  for (size_t i = 0; i < bytes / 32; i += 4) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sums[j] = _mm256_xor_si256(sums[j], _mm256_load_si256(at + i + j));
  }
  const __m256i all =
      _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3]));
  alignas(32) uint64_t words[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(words), all);
  return words[0] ^ words[1] ^ words[2] ^ words[3];
}

__attribute__((target("avx512f"))) uint64_t read_avx512(const std::byte* data, size_t bytes) {
  __m512i sums[4];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (size_t i = 0; i < bytes; i += 256) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      sums[j] = _mm512_xor_si512(sums[j], _mm512_load_si512(data + i + 64 * j));
    }
  }
  const __m512i all =
      _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]));
  alignas(64) uint64_t words[8];
  _mm512_store_si512(words, all);
  uint64_t result = 0;
  for (const uint64_t word : words) result ^= word;
  return result;
}

bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() { return __builtin_cpu_supports("avx512f"); }
bool has_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

#elif defined(__aarch64__)

// The widest Arm cores have four units with a latency of four cycles.
constexpr int kNeonSums = 16;

void f32_neon(int64_t turns) {
  float32x4_t sums[kNeonSums];
  for (int i = 0; i < kNeonSums; ++i) sums[i] = vdupq_n_f32(static_cast<float>(i));
  const float32x4_t x = vdupq_n_f32(1e-3f);
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 16
    for (int i = 0; i < kNeonSums; ++i) {
      sums[i] = vfmaq_f32(sums[i], x, x);
      asm volatile("" : "+w"(sums[i]));
    }
  }
  for (int i = 1; i < kNeonSums; ++i) sums[0] = vaddq_f32(sums[0], sums[i]);
  const auto total = sums[0];
  keep(total);
}

__attribute__((target("arch=armv8.2-a+dotprod"))) void int8_neon_dot(int64_t turns) {
  int32x4_t sums[kNeonSums];
  for (int i = 0; i < kNeonSums; ++i) sums[i] = vdupq_n_s32(i);
  const int8x16_t x = vdupq_n_s8(3);
  for (int64_t turn = 0; turn < turns; ++turn) {
#pragma GCC unroll 16
    for (int i = 0; i < kNeonSums; ++i) {
      sums[i] = vdotq_s32(sums[i], x, x);
      asm volatile("" : "+w"(sums[i]));
    }
  }
  for (int i = 1; i < kNeonSums; ++i) sums[0] = vaddq_s32(sums[0], sums[i]);
  const auto total = sums[0];
  keep(total);
}

#endif

std::vector<PeakLoop> supported_loops() {
  std::vector<PeakLoop> loops;
#if defined(__x86_64__)
  if (has_avx512()) loops.push_back({"avx512", false, kAccumulators * 16 * 2.0, f32_avx512});
  if (has_avx2()) loops.push_back({"avx2", false, kAccumulators * 8 * 2.0, f32_avx2});
  if (has_vnni())
    loops.push_back({"avx512_vnni", true, kAccumulators * 64 * 2.0, int8_avx512_vnni});
  if (has_avx2()) loops.push_back({"avx2", true, kAvx2Int8Sums * 32 * 2.0, int8_avx2});
#elif defined(__aarch64__)
  loops.push_back({"neon", false, kNeonSums * 4 * 2.0, f32_neon});
  if ((::getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0)
    loops.push_back({"neon_dot", true, kNeonSums * 16 * 2.0, int8_neon_dot});
#endif
  loops.push_back({"portable", false, kAccumulators * 2.0, f32_portable});
  loops.push_back({"portable", true, kAccumulators * 2.0, int8_portable});
  return loops;
}

}  // namespace

std::span<const PeakLoop> peak_loops() {
  static const std::vector<PeakLoop> loops = supported_loops();
  return loops;
}

uint64_t read_all(const std::byte* data, size_t bytes) {
#if defined(__x86_64__)
  if (has_avx512()) return read_avx512(data, bytes);
  if (has_avx2()) return read_avx2(data, bytes);
#endif
  return read_portable(data, bytes);
}

}  // namespace minke
