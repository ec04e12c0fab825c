// Goal: what is loaded is what the file says, and a file that does not fit is refused by name.
// Method: files made in memory; packed matrices are unpacked again and compared.
#include "minke/nn/parameter.h"

#include <cmath>

#include "minke/dtype/fp8.h"
#include "minke/dtype/half.h"
#include "minke/kernels/packed.h"
#include "tests/nn/weights.h"

namespace minke {
namespace {

class ParameterTest : public ::testing::Test {
 protected:
  Device device_{2, false, CpuLevel::kRef};
  RandomWeights weights_{7};
  ParameterStore store_;

  std::vector<float> unpacked(const Parameter& parameter) {
    std::vector<int32_t> rows(static_cast<size_t>(parameter.rows));
    for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int32_t>(i);
    const Tensor plain = Tensor::zeros(DType::kF32, {parameter.rows, parameter.cols});
    kernels::unpack_rows(device_, parameter.weight({device_}).view(), rows.data(), parameter.rows,
                         plain.view());
    const std::span<float> values = plain.span<float>();
    return {values.begin(), values.end()};
  }
};

std::vector<float> joined(std::vector<float> first, const std::vector<float>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

TEST_F(ParameterTest, NeighboursOfOneFormatShareAParameter) {
  const auto q = weights_.add("q", DType::kQ8_0, {32, 64});
  const auto k = weights_.add("k", DType::kQ8_0, {16, 64});
  const auto v = weights_.add("v", DType::kF16, {16, 64});
  const GgufFile file = weights_.file();
  ParameterLoader loader(device_, file, store_, Precision::kF32);
  const auto made = loader.matrices({{"q", 32}, {"k", 16}, {"v", 16}}, 64);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->size(), 2u);
  EXPECT_EQ((*made)[0]->names, (std::vector<std::string>{"q", "k"}));
  EXPECT_EQ((*made)[0]->name_rows, (std::vector<int64_t>{32, 16}));
  EXPECT_EQ(unpacked(*(*made)[0]), joined(q, k));
  EXPECT_EQ(unpacked(*(*made)[1]), v);
  EXPECT_EQ(store_.num_elements(), 64 * 64);
  EXPECT_FALSE((*made)[0]->trainable());
}

TEST_F(ParameterTest, MatricesOfAllFormatsCanBeTrainedWhenDecoded) {
  const auto q = weights_.add("q", DType::kQ8_0, {32, 64});
  const auto k = weights_.add("k", DType::kBf16, {32, 64});
  const GgufFile file = weights_.file();
  ParameterLoader loader(device_, file, store_, Precision::kF32);
  loader.decode_matrices();
  const auto made = loader.matrices({{"q", 32}, {"k", 32}}, 64);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->size(), 1u);
  EXPECT_EQ(unpacked(*made->front()), joined(q, k));
  EXPECT_TRUE(made->front()->trainable());
}

TEST_F(ParameterTest, AMatrixThatEndsInsideAPanelIsNotJoined) {
  const auto a = weights_.add("a", DType::kF32, {17, 8});
  const auto b = weights_.add("b", DType::kF32, {16, 8});
  const GgufFile file = weights_.file();
  ParameterLoader loader(device_, file, store_, Precision::kF32);
  const auto made = loader.matrices({{"a", 17}, {"b", 16}}, 8);
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_EQ(made->size(), 2u);
  EXPECT_EQ(unpacked(*(*made)[0]), a);
  EXPECT_EQ(unpacked(*(*made)[1]), b);
  EXPECT_TRUE((*made)[0]->trainable());
}

TEST_F(ParameterTest, VectorsAreDecoded) {
  const auto norm = weights_.add("norm", DType::kBf16, {24});
  const GgufFile file = weights_.file();
  const auto made = ParameterLoader(device_, file, store_, Precision::kF32).vector("norm", 24);
  ASSERT_TRUE(made) << made.error().message;
  const std::span<float> values = (*made)->value.span<float>();
  EXPECT_EQ(std::vector<float>(values.begin(), values.end()), norm);
  EXPECT_EQ((*made)->num_elements(), 24);
}

// Weights that a test makes by hand, whatever their format.
class HandMade final : public SortedWeights {
 public:
  explicit HandMade(WeightInfo info) { weights_.push_back(std::move(info)); }
  void drop(std::span<const std::byte> bytes) const override { dropped += bytes.size(); }
  mutable size_t dropped = 0;
};

class Fp8ParameterTest : public ParameterTest {
 protected:
  // More rows than are decoded at once, the last panel and the last blocks cut off.
  static constexpr int64_t kRows = 301;

  const Parameter& load(int64_t cols, Precision precision) {
    Random random(3);
    codes_.resize(static_cast<size_t>(kRows * cols));
    for (std::byte& code : codes_) {
      code = std::byte{f32_to_e4m3(100.0f * static_cast<float>(random.normal()))};
    }
    scales_.resize(static_cast<size_t>(3 * (cols / 128 + 1)));
    for (float& scale : scales_) scale = 0.001f + static_cast<float>(random.uniform());
    const WeightInfo info = {"w",
                             DType::kF8E4M3,
                             {kRows, cols},
                             codes_,
                             {std::as_bytes(std::span(scales_)), DType::kF32, 128, 128}};
    values_.resize(codes_.size());
    decode_rows(info, 0, kRows, values_.data());
    const HandMade file(info);
    const auto made =
        ParameterLoader(device_, file, store_, precision).matrices({{"w", kRows}}, cols);
    EXPECT_TRUE(made) << made.error().message;
    EXPECT_EQ(file.dropped, codes_.size());
    return *made->front();
  }

  std::vector<std::byte> codes_;
  std::vector<float> scales_;
  std::vector<float> values_;  // what they mean
};

TEST_F(Fp8ParameterTest, F32KeepsEveryValue) {
  const Parameter& parameter = load(200, Precision::kF32);
  EXPECT_EQ(parameter.dtype, DType::kF32);
  EXPECT_TRUE(parameter.trainable());
  EXPECT_EQ(unpacked(parameter), values_);
}

TEST_F(Fp8ParameterTest, Bf16RoundsToTheNearest) {
  for (const auto& [cols, precision] :
       {std::pair(int64_t{160}, Precision::kBf16), {int64_t{161}, Precision::kInt8}}) {
    const Parameter& parameter = load(cols, precision);
    EXPECT_EQ(parameter.dtype, DType::kBf16);
    const std::vector<float> found = unpacked(parameter);
    for (size_t i = 0; i < values_.size(); ++i) {
      ASSERT_EQ(found[i], bf16_to_f32(f32_to_bf16(values_[i])));
    }
  }
}

TEST_F(Fp8ParameterTest, Int8LosesLittleBesideWhatFp8Lost) {
  const Parameter& parameter = load(224, Precision::kInt8);
  EXPECT_EQ(parameter.dtype, DType::kQ8_0);
  const std::vector<float> found = unpacked(parameter);
  double error = 0, power = 0;
  for (size_t i = 0; i < values_.size(); ++i) {
    error += std::pow(double{found[i]} - values_[i], 2);
    power += std::pow(double{values_[i]}, 2);
  }
  // Rounding normal numbers to three bits of mantissa loses 7e-4 of their power.
  EXPECT_LT(error, 0.06 * 7e-4 * power) << error / power;
  EXPECT_GT(error, 0.0);
}

TEST_F(ParameterTest, WhatDoesNotFitIsRefusedByName) {
  weights_.add("w", DType::kF32, {16, 32});
  const GgufFile file = weights_.file();
  ParameterLoader loader(device_, file, store_, Precision::kF32);
  const auto missing = loader.matrices({{"absent", 16}}, 32);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(missing.error().message.find("'absent'"), std::string::npos);
  const auto turned = loader.matrices({{"w", 32}}, 16);
  ASSERT_FALSE(turned);
  EXPECT_NE(turned.error().message.find("[16, 32]"), std::string::npos) << turned.error().message;
  EXPECT_NE(turned.error().message.find("[32, 16]"), std::string::npos) << turned.error().message;
  EXPECT_FALSE(loader.vector("w", 512));
  EXPECT_TRUE(store_.parameters().empty());
}

TEST_F(ParameterTest, AChangeRaisesTheVersion) {
  const uint64_t before = store_.version();
  store_.changed();
  EXPECT_EQ(store_.version(), before + 1);
}

}  // namespace
}  // namespace minke
