#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

// Internal linkage throughout: this file is compiled with the instruction sets of the kernels, and
// a copy made for one must not be linked into code for another.
namespace minke::kernels {

/// e^x in f32 within 1 ulp, the same bits everywhere (libm's differ between machines) and free of
/// branches, so that loops over it become vector code. Products and sums are not fused.
/// Below -87.33 the result is 0 (denormals are flushed), above 88.72 infinity; NaN stays NaN.
///
///   n = round(x / ln 2), r = x - n ln 2 in [-0.347, 0.347], e^x = 2^n e^r
[[maybe_unused]] static inline float exp_f32(float x) {
  constexpr float kRound = 0x1.8p23f;       // adding it leaves an integer in the low bits
  constexpr float kLn2High = 0x1.62e4p-1f;  // 15 bits, so that n * kLn2High is exact
  constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  // Two statements: a comparison inside the other's branch would keep loops from being vectorised.
  const float below_max = x > 89.0f ? 89.0f : x;
  const float clamped = below_max < -88.0f ? -88.0f : below_max;
  const float shifted = clamped * 0x1.715476p+0f + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * kLn2High) - n * kLn2Low;
  // e^r = 1 + r + r^2 p(r): the Taylor coefficients up to r^7 leave 1e-9.
  float p = 0x1.a01a02p-13f;
  p = p * r + 0x1.6c16c2p-10f;
  p = p * r + 0x1.111112p-7f;
  p = p * r + 0x1.555556p-5f;
  p = p * r + 0x1.555556p-3f;
  p = p * r + 0.5f;
  const float power = 1.0f + (r + r * r * p);
  // 2^n as two factors, because 2^128 is no float.
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
  const int32_t half = exponent >> 1;
  const float scale_a = std::bit_cast<float>((half + 127) << 23);
  const float scale_b = std::bit_cast<float>((exponent - half + 127) << 23);
  const float result = power * scale_a * scale_b;
  return x < -87.33f ? 0.0f : result;
}

/// e^x in the type of x: exp_f32() for f32, the C library's for f64.
template <class T>
[[maybe_unused]] static inline T exp_of(T x) {
  if constexpr (sizeof(T) == 4) {
    return exp_f32(x);
  } else {
    return std::exp(x);
  }
}

}  // namespace minke::kernels
