#pragma once
#include <bit>
#include <cstdint>

namespace minke {

/// The eight-bit floats of FP8 checkpoints.
///
///   e4m3   sign, 4 bits of exponent (bias 7), 3 of mantissa, as OCP's FP8 and PyTorch's
///          float8_e4m3fn: no infinities, and only 0x7F and 0xFF are no number, so that the largest
///          is 448; below 2^-6 units of 2^-9
///   e8m0   a power of two, 2^(bits - 127); 0xFF is no number
inline constexpr float kE4m3Max = 448.0f;

/// e4m3 bits to float, exact for every value.
constexpr float e4m3_to_f32(uint8_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x80) << 24;
  const uint32_t magnitude = bits & 0x7F;
  if (magnitude == 0x7F) return std::bit_cast<float>(sign | 0x7FC00000);
  if (magnitude >= 8) return std::bit_cast<float>(sign | ((magnitude << 20) + (120u << 23)));
  const float units = static_cast<float>(magnitude) * 0x1.0p-9f;
  return sign != 0 ? -units : units;
}

/// Float to e4m3 bits, rounding to nearest even; beyond +-448, infinities too, it becomes +-448.
inline uint8_t f32_to_e4m3(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 24) & 0x80;
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return static_cast<uint8_t>(sign | 0x7F);
  if (magnitude >= std::bit_cast<uint32_t>(kE4m3Max)) return static_cast<uint8_t>(sign | 0x7E);
  if (magnitude < 0x3C800000) {  // below 2^-6; the sum's last bits are the units of 2^-9, rounded
    const float aligned = std::bit_cast<float>(magnitude) + 0x1.0p14f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(aligned) & 0xF));
  }
  const uint32_t rounded = magnitude + 0x7FFFF + ((magnitude >> 20) & 1);
  return static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
}

/// e8m0 bits to float, exact for every value.
constexpr float e8m0_to_f32(uint8_t bits) {
  if (bits == 0xFF) return std::bit_cast<float>(0x7FC00000u);
  return std::bit_cast<float>(bits == 0 ? 0x00400000u : static_cast<uint32_t>(bits) << 23);
}

}  // namespace minke
