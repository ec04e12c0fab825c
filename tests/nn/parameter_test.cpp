// Goal: what is loaded is what the file says, and a file that does not fit is refused by name.
// Method: files made in memory; packed matrices are unpacked again and compared.
#include "minke/nn/parameter.h"

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
  ParameterLoader loader(device_, file, store_);
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

TEST_F(ParameterTest, AMatrixThatEndsInsideAPanelIsNotJoined) {
  const auto a = weights_.add("a", DType::kF32, {17, 8});
  const auto b = weights_.add("b", DType::kF32, {16, 8});
  const GgufFile file = weights_.file();
  ParameterLoader loader(device_, file, store_);
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
  const auto made = ParameterLoader(device_, file, store_).vector("norm", 24);
  ASSERT_TRUE(made) << made.error().message;
  const std::span<float> values = (*made)->value.span<float>();
  EXPECT_EQ(std::vector<float>(values.begin(), values.end()), norm);
  EXPECT_EQ((*made)->num_elements(), 24);
}

TEST_F(ParameterTest, WhatDoesNotFitIsRefusedByName) {
  weights_.add("w", DType::kF32, {16, 32});
  const GgufFile file = weights_.file();
  ParameterLoader loader(device_, file, store_);
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
