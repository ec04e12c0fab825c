// Goal: an FP8 matrix decodes to its numbers times their blocks' scales, whatever is cut off at its
// edges, and scales that do not fit are refused by name. Method: an index computed here.
#include "minke/format/fp8_scales.h"

#include <gtest/gtest.h>

#include "minke/base/random.h"
#include "minke/dtype/fp8.h"

namespace minke {
namespace {

WeightInfo matrix_of(const std::vector<std::byte>& codes, int64_t rows, int64_t cols) {
  return {"w", DType::kF8E4M3, {rows, cols}, codes};
}

class Fp8Scales : public testing::Test {
 protected:
  std::vector<std::byte> random_codes(int64_t count) {
    std::vector<std::byte> codes(static_cast<size_t>(count));
    for (std::byte& code : codes) code = static_cast<std::byte>(random_.below(0x7F));
    return codes;
  }
  Random random_{5};
};

TEST_F(Fp8Scales, MultiplyTheirBlocks) {
  struct Case {
    int64_t rows, cols;
    Fp8Blocks blocks;
  };
  for (const auto& [rows, cols, blocks] :
       {Case{576, 130, {128, 128}}, {128, 256, {128, 128}}, {1, 1, {128, 128}}, {5, 7, {2, 3}}}) {
    const int64_t across = (cols + blocks.cols - 1) / blocks.cols;
    const int64_t down = (rows + blocks.rows - 1) / blocks.rows;
    const std::vector<std::byte> codes = random_codes(rows * cols);
    std::vector<float> scales(static_cast<size_t>(across * down));
    for (float& scale : scales) scale = static_cast<float>(random_.normal());
    const std::vector<std::byte> powers = random_codes(across * down);
    for (const bool is_f32 : {true, false}) {
      std::vector<WeightInfo> weights = {matrix_of(codes, rows, cols)};
      weights.push_back({"w_scale_inv",
                         is_f32 ? DType::kF32 : DType::kF8E8M0,
                         {down, across},
                         is_f32 ? std::as_bytes(std::span(scales)) : std::span(powers)});
      const auto attached = attach_fp8_scales(weights, blocks);
      ASSERT_TRUE(attached) << attached.error().message;
      ASSERT_EQ(weights.size(), 1u);
      std::vector<float> values(codes.size());
      decode_rows(weights[0], 0, rows, values.data());
      for (int64_t i = 0; i < rows * cols; ++i) {
        const auto block =
            static_cast<size_t>(i / cols / blocks.rows * across + i % cols / blocks.cols);
        const float scale =
            is_f32 ? scales[block] : e8m0_to_f32(static_cast<uint8_t>(powers[block]));
        const auto at = static_cast<size_t>(i);
        ASSERT_EQ(values[at], e4m3_to_f32(static_cast<uint8_t>(codes[at])) * scale) << i;
      }
      // Some rows alone are the same.
      std::vector<float> last(static_cast<size_t>(cols));
      decode_rows(weights[0], rows - 1, 1, last.data());
      EXPECT_TRUE(std::equal(last.begin(), last.end(), values.end() - cols));
    }
  }
}

std::string error_of(std::vector<WeightInfo> weights, Fp8Blocks blocks = {128, 128}) {
  const auto attached = attach_fp8_scales(weights, blocks);
  EXPECT_FALSE(attached);
  if (attached) return "";
  EXPECT_EQ(attached.error().code, ErrorCode::kCorrupt);
  return attached.error().message;
}

// Qwen3's FP8 checkpoints have them so.
TEST_F(Fp8Scales, MayBeHalfPrecision) {
  const std::vector<std::byte> codes = random_codes(4 * 6);
  for (const DType dtype : {DType::kF16, DType::kBf16}) {
    const float scales[] = {0.5f, 3.0f, 0.25f, 1.5f};  // exact in both
    std::vector<std::byte> encoded(8);
    dtype_info(dtype).encode(scales, 4, encoded.data());
    std::vector<WeightInfo> weights = {matrix_of(codes, 4, 6)};
    weights.push_back({"w_scale_inv", dtype, {2, 2}, encoded});
    const auto attached = attach_fp8_scales(weights, {2, 3});
    ASSERT_TRUE(attached) << attached.error().message;
    std::vector<float> values(24);
    decode_rows(weights[0], 0, 4, values.data());
    for (size_t i = 0; i < 24; ++i) {
      const float expected =
          e4m3_to_f32(static_cast<uint8_t>(codes[i])) * scales[i / 12 * 2 + i % 6 / 3];
      EXPECT_EQ(values[i], expected) << i;
    }
  }
}

TEST_F(Fp8Scales, ThatDoNotFitAreRefusedByName) {
  const std::vector<std::byte> codes = random_codes(300 * 4);
  const std::vector<std::byte> raw(64);
  const auto scales = [&](DType dtype, const Shape& shape) {
    return WeightInfo{"w_scale_inv", dtype, shape, raw};
  };
  const WeightInfo w = matrix_of(codes, 300, 4);
  EXPECT_NE(error_of({w}).find("'w' is f8_e4m3 without its scales, 'w_scale_inv'"),
            std::string::npos);
  EXPECT_NE(error_of({scales(DType::kF32, {3, 1})}).find("'w_scale_inv'"), std::string::npos);
  for (const WeightInfo& wrong :
       {scales(DType::kF32, {2, 1}), scales(DType::kF32, {1, 3}), scales(DType::kF32, {3}),
        scales(DType::kF32, {}), scales(DType::kI8, {3, 1})}) {
    const std::string message = error_of({w, wrong});
    EXPECT_NE(message.find("'w_scale_inv'"), std::string::npos) << message;
    EXPECT_NE(message.find("[3, 1]: a scale for each 128 x 128 of [300, 4]"), std::string::npos)
        << message;
  }
  WeightInfo other = w;
  other.dtype = DType::kI8;
  EXPECT_NE(error_of({other, scales(DType::kF32, {3, 1})}).find("'w' is i8 [300, 4]"),
            std::string::npos);
  EXPECT_NE(error_of({w, scales(DType::kF32, {3, 1})}, {}).find("quantization_config"),
            std::string::npos);
  // Sizes that no file can hold but an empty tensor can claim.
  WeightInfo huge = w;
  huge.shape = {INT64_MAX, 0};
  huge.bytes = {};
  EXPECT_NE(error_of({huge, scales(DType::kF32, {3, 1})}), "");
}

}  // namespace
}  // namespace minke
