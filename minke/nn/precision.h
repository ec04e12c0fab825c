#pragma once
#include <optional>
#include <string_view>

namespace minke {

/// What the arithmetic of matrix products is (DESIGN 4.5).
enum class Precision {
  kF32,   ///< weights decoded in registers, f32 multiply-adds: the bits of the training forward
  kBf16,  ///< activations and unquantised weights as bf16, products summed in f32
  kInt8,  ///< activations as int8 in blocks of 32, integer products with block-quantised weights
};

/// "f32", "bf16", "int8".
constexpr std::string_view precision_name(Precision precision) {
  return precision == Precision::kF32 ? "f32" : precision == Precision::kBf16 ? "bf16" : "int8";
}

/// The precision of that name, if there is one.
inline std::optional<Precision> parse_precision(std::string_view name) {
  for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
    if (name == precision_name(precision)) return precision;
  }
  return std::nullopt;
}

}  // namespace minke
