#pragma once
#include <optional>
#include <string_view>

namespace minke {

/// What the arithmetic of matrix products is (DESIGN 4.5).
enum class Precision {
  kF32,   ///< weights decoded in registers, f32 multiply-adds: the bits of the training forward
  kInt8,  ///< activations as int8 in blocks of 32, integer products with block-quantised weights
};

/// "f32", "int8".
constexpr std::string_view precision_name(Precision precision) {
  return precision == Precision::kF32 ? "f32" : "int8";
}

/// The precision of that name, if there is one.
inline std::optional<Precision> parse_precision(std::string_view name) {
  if (name == "f32") return Precision::kF32;
  if (name == "int8") return Precision::kInt8;
  return std::nullopt;
}

}  // namespace minke
