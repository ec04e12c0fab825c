// Goal: binary16 and bfloat16 convert exactly one way and to the nearest, ties to even, the other.
// Method: all 65536 bit patterns against values put together with ldexp, and rounding against a
// search in the sorted list of all values.
#include "minke/dtype/half.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "minke/base/random.h"

namespace minke {
namespace {

/// A small float format: sign, `exponent_bits`, `mantissa_bits`, IEEE's rules.
struct Format {
  int exponent_bits;
  int mantissa_bits;
  float (*decode)(uint16_t);
  uint16_t (*encode)(float);
};
constexpr Format kF16 = {5, 10, f16_to_f32, f32_to_f16};
constexpr Format kBf16 = {8, 7, bf16_to_f32, f32_to_bf16};

/// The value of a bit pattern by the definition, in double.
double value_of(const Format& format, uint16_t bits) {
  const int exponent_max = (1 << format.exponent_bits) - 1;
  const int bias = exponent_max / 2;
  const int exponent = (bits >> format.mantissa_bits) & exponent_max;
  const int mantissa = bits & ((1 << format.mantissa_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == exponent_max) return mantissa != 0 ? std::nan("") : sign * HUGE_VAL;
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - format.mantissa_bits);
  return sign *
         std::ldexp(mantissa + (1 << format.mantissa_bits), exponent - bias - format.mantissa_bits);
}

void expect_exact_both_ways(const Format& format) {
  for (uint32_t pattern = 0; pattern < 65536; ++pattern) {
    const auto bits = static_cast<uint16_t>(pattern);
    const double expected = value_of(format, bits);
    const float decoded = format.decode(bits);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(decoded)) << pattern;
      ASSERT_TRUE(std::isnan(format.decode(format.encode(decoded)))) << pattern;
      continue;
    }
    ASSERT_EQ(static_cast<double>(decoded), expected) << pattern;
    ASSERT_EQ(std::signbit(decoded), (bits & 0x8000) != 0) << pattern;
    ASSERT_EQ(format.encode(decoded), bits) << pattern;
  }
}

/// Rounds by looking: between two neighbours the nearer one, the even one of equals. Patterns of
/// positive numbers rise with their value, up to infinity, which counts as the next power of two.
uint16_t nearest(const std::vector<double>& values, double magnitude) {
  const auto above = std::lower_bound(values.begin(), values.end(), magnitude);
  const auto index = static_cast<uint16_t>(above - values.begin());
  if (above == values.end()) return static_cast<uint16_t>(values.size() - 1);
  if (*above == magnitude || index == 0) return index;
  const double up = *above - magnitude;
  const double down = magnitude - *(above - 1);
  if (up == down) return index % 2 == 0 ? index : static_cast<uint16_t>(index - 1);
  return up < down ? index : static_cast<uint16_t>(index - 1);
}

void expect_nearest(const Format& format, int min_exponent, int max_exponent) {
  std::vector<double> values;
  const uint32_t infinity = 0x7FFFu & ~((1u << format.mantissa_bits) - 1);
  for (uint32_t bits = 0; bits < infinity; ++bits) {
    values.push_back(value_of(format, static_cast<uint16_t>(bits)));
  }
  values.push_back(std::ldexp(1.0, 1 << (format.exponent_bits - 1)));
  const auto check = [&](float value) {
    const auto expected = static_cast<uint16_t>(nearest(values, std::fabs(value)) |
                                                (std::signbit(value) ? 0x8000 : 0));
    ASSERT_EQ(format.encode(value), expected) << std::hexfloat << value;
  };
  for (size_t i = 0; i + 1 < values.size(); ++i) {  // The midpoints and their neighbours.
    const auto middle = static_cast<float>((values[i] + values[i + 1]) / 2);
    for (const float sign : {1.0f, -1.0f}) {
      check(sign * middle);
      check(sign * std::nextafterf(middle, 0.0f));
      check(sign * std::nextafterf(middle, HUGE_VALF));
    }
  }
  Random random(1);
  for (int i = 0; i < 200000; ++i) {
    const auto range = static_cast<uint64_t>(max_exponent - min_exponent);
    const int exponent = min_exponent + static_cast<int>(random.below(range));
    check(static_cast<float>(std::ldexp(random.uniform() * 2 - 1, exponent)));
  }
}

TEST(Half, F16DecodesExactlyAndComesBack) { expect_exact_both_ways(kF16); }
TEST(Half, Bf16DecodesExactlyAndComesBack) { expect_exact_both_ways(kBf16); }
TEST(Half, F16RoundsToNearestEven) { expect_nearest(kF16, -30, 20); }
TEST(Half, Bf16RoundsToNearestEven) { expect_nearest(kBf16, -140, 128); }

TEST(Half, TooLargeBecomesInfinityAndNanStaysNan) {
  EXPECT_EQ(f32_to_f16(65504.0f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65519.99f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
  EXPECT_EQ(f32_to_f16(-1e30f), 0xFC00);
  EXPECT_EQ(f32_to_f16(HUGE_VALF), 0x7C00);
  EXPECT_EQ(f32_to_bf16(3.4e38f), 0x7F80);
  EXPECT_EQ(f32_to_bf16(-HUGE_VALF), 0xFF80);
  for (const uint32_t bits : {0x7F800001u, 0x7FFFFFFFu, 0xFF800001u, 0x7FC00000u}) {
    EXPECT_TRUE(std::isnan(f16_to_f32(f32_to_f16(std::bit_cast<float>(bits)))));
    EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::bit_cast<float>(bits)))));
  }
}

}  // namespace
}  // namespace minke
