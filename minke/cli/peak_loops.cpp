#include "minke/cli/peak_loops.h"

#include <vector>

#include "minke/tensor/device.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

// Each function carries its instruction set as an attribute and is called only where the CPU has
// it. The empty asm statements hide a value from the compiler, which would otherwise compute a
// loop's invariant products once.

namespace minke {
namespace {

// Each sum is a variable of its own: an array of them is kept in memory, and the loop would measure
// loads and stores. So many that no unit waits for a sum: AVX2 has 16 registers, the widest Arm
// cores four units with a latency of four cycles.
#if defined(__aarch64__)
constexpr int kAccumulators = 16;
#define MK_MORE_SUMS(value) , s12 = value, s13 = value, s14 = value, s15 = value
#define MK_MORE_EACH(step, ...) \
  step(s12, __VA_ARGS__) step(s13, __VA_ARGS__) step(s14, __VA_ARGS__) step(s15, __VA_ARGS__)
#else
constexpr int kAccumulators = 12;
#define MK_MORE_SUMS(value)
#define MK_MORE_EACH(step, ...)
#endif
#define MK_SUMS(value)                                                                            \
  s0 = value, s1 = value, s2 = value, s3 = value, s4 = value, s5 = value, s6 = value, s7 = value, \
  s8 = value, s9 = value, s10 = value, s11 = value MK_MORE_SUMS(value)
#define MK_EACH_SUM(step, ...)                                                                \
  step(s0, __VA_ARGS__) step(s1, __VA_ARGS__) step(s2, __VA_ARGS__) step(s3, __VA_ARGS__)     \
      step(s4, __VA_ARGS__) step(s5, __VA_ARGS__) step(s6, __VA_ARGS__) step(s7, __VA_ARGS__) \
          step(s8, __VA_ARGS__) step(s9, __VA_ARGS__) step(s10, __VA_ARGS__)                  \
              step(s11, __VA_ARGS__) MK_MORE_EACH(step, __VA_ARGS__)

// A function of `turns` turns, each of which makes every sum s the expression `next` of s and x.
// `kind` is the asm constraint of the set's registers.
#define MK_NEXT(sum, kind, next) \
  {                              \
    auto& s = sum;               \
    asm volatile("" : kind(x));  \
    s = next;                    \
    asm volatile("" : kind(s));  \
  }
#define MK_ADD(sum, add) total = add(total, sum);
#define MK_PEAK_LOOP(name, isa, kind, start, x_value, next, add) \
  __attribute__((target(isa))) void name(int64_t turns) {        \
    auto MK_SUMS(start);                                         \
    auto x = x_value;                                            \
    for (int64_t turn = 0; turn < turns; ++turn) {               \
      MK_EACH_SUM(MK_NEXT, kind, next)                           \
    }                                                            \
    auto total = s0;                                             \
    MK_EACH_SUM(MK_ADD, add)                                     \
    keep(total);                                                 \
  }

// Keeps a result alive.
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

MK_PEAK_LOOP(f32_avx2, "avx2,fma", "+x", _mm256_set1_ps(1.0f), _mm256_set1_ps(1e-3f),
             _mm256_fmadd_ps(s, x, x), _mm256_add_ps)
MK_PEAK_LOOP(f32_avx512, "avx512f", "+v", _mm512_set1_ps(1.0f), _mm512_set1_ps(1e-3f),
             _mm512_fmadd_ps(s, x, x), _mm512_add_ps)
// Without VNNI an int8 product takes three instructions: to 16 bits, to 32 bits, and the addition.
MK_PEAK_LOOP(int8_avx2, "avx2", "+x", _mm256_set1_epi32(1), _mm256_set1_epi8(1),
             _mm256_add_epi32(s,
                              _mm256_madd_epi16(_mm256_maddubs_epi16(x, x), _mm256_set1_epi16(1))),
             _mm256_add_epi32)
MK_PEAK_LOOP(int8_avx_vnni, "avx2,avxvnni", "+x", _mm256_set1_epi32(1), _mm256_set1_epi8(3),
             _mm256_dpbusd_avx_epi32(s, x, x), _mm256_add_epi32)
MK_PEAK_LOOP(int8_avx512_vnni, "avx512f,avx512vnni", "+v", _mm512_set1_epi32(1),
             _mm512_set1_epi8(3), _mm512_dpbusd_epi32(s, x, x), _mm512_add_epi32)
MK_PEAK_LOOP(bf16_avx512, "avx512f,avx512bf16", "+v", _mm512_set1_ps(1.0f),
             _mm512_set1_epi16(0x3A83),  // 1e-3
             _mm512_dpbf16_ps(s, (__m512bh)x, (__m512bh)x), _mm512_add_ps)

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
bool has_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16"); }

#elif defined(__aarch64__)

MK_PEAK_LOOP(f32_neon, "arch=armv8-a", "+w", vdupq_n_f32(1.0f), vdupq_n_f32(1e-3f),
             vfmaq_f32(s, x, x), vaddq_f32)
MK_PEAK_LOOP(int8_neon_dot, "arch=armv8.2-a+dotprod", "+w", vdupq_n_s32(1), vdupq_n_s8(3),
             vdotq_s32(s, x, x), vaddq_s32)
MK_PEAK_LOOP(int8_neon_i8mm, "arch=armv8.2-a+i8mm", "+w", vdupq_n_s32(1), vdupq_n_s8(3),
             vmmlaq_s32(s, x, x), vaddq_s32)

#endif

std::vector<PeakLoop> supported_loops() {
  std::vector<PeakLoop> loops;
#if defined(__x86_64__)
  if (has_avx512())
    loops.push_back({"avx512", Precision::kF32, kAccumulators * 16 * 2.0, f32_avx512});
  if (has_avx2()) loops.push_back({"avx2", Precision::kF32, kAccumulators * 8 * 2.0, f32_avx2});
  if (has_bf16())
    loops.push_back({"avx512_bf16", Precision::kBf16, kAccumulators * 32 * 2.0, bf16_avx512});
  if (has_vnni())
    loops.push_back({"avx512_vnni", Precision::kInt8, kAccumulators * 64 * 2.0, int8_avx512_vnni});
  if (cpu_level_supported(CpuLevel::kAvxVnni))
    loops.push_back({"avx_vnni", Precision::kInt8, kAccumulators * 32 * 2.0, int8_avx_vnni});
  if (has_avx2()) loops.push_back({"avx2", Precision::kInt8, kAccumulators * 32 * 2.0, int8_avx2});
#elif defined(__aarch64__)
  loops.push_back({"neon", Precision::kF32, kAccumulators * 4 * 2.0, f32_neon});
  if (cpu_level_supported(CpuLevel::kNeonI8mm))
    loops.push_back({"neon_i8mm", Precision::kInt8, kAccumulators * 32 * 2.0, int8_neon_i8mm});
  if (cpu_level_supported(CpuLevel::kNeonDot))
    loops.push_back({"neon_dot", Precision::kInt8, kAccumulators * 16 * 2.0, int8_neon_dot});
#endif
  loops.push_back({"portable", Precision::kF32, kAccumulators * 2.0, f32_portable});
  loops.push_back({"portable", Precision::kInt8, kAccumulators * 2.0, int8_portable});
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
