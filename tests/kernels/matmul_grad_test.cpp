// Goal: the gradients of matmul are dx = dy W and dW = dy^T x for any shape, and the same bits for
// any number of threads. Method: triple loops in f64.
#include <gtest/gtest.h>

#include "minke/kernels/matmul.h"
#include "tests/kernels/matrices.h"

namespace minke {
namespace {

constexpr std::array<int64_t, 3> kShapes[] = {{1, 1, 1},      {1, 17, 33},   {7, 16, 32},
                                              {33, 50, 70},   {65, 31, 129}, {130, 5, 300},
                                              {211, 150, 530}};

class MatmulGradTest : public ::testing::TestWithParam<CpuLevel> {
 protected:
  void SetUp() override {
    if (!cpu_level_supported(GetParam())) GTEST_SKIP() << "not on this CPU";
  }
};

double at(const Tensor& x, int64_t index) {
  return x.dtype() == DType::kF64 ? x.data<double>()[index] : x.data<float>()[index];
}

// Of sums of some 200 products of normal numbers, relative to 10 + the sum.
double rounding(DType dtype) { return dtype == DType::kF64 ? 1e-14 : 5e-6; }

TEST_P(MatmulGradTest, InputGradientIsDyTimesW) {
  const Device device(2, false, GetParam());
  Random random(21);
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const auto& [n, rows, cols] : kShapes) {
      const RandomWeight w = random_weight(device, random, dtype, rows, cols);
      const Tensor dy = random_matrix(random, dtype, n, rows);
      const Tensor dx = random_matrix(random, dtype, n, cols);  // to be overwritten
      kernels::matmul_input_grad(device, dy.view(), w.view(), dx.view());
      for (int64_t i = 0; i < n * cols; ++i) {
        double sum = 0.0;
        for (int64_t r = 0; r < rows; ++r) {
          sum += at(dy, i / cols * rows + r) * w.values[r * cols + i % cols];
        }
        ASSERT_NEAR(at(dx, i), sum, rounding(dtype) * (10.0 + std::fabs(sum))) << n << " " << rows;
      }
    }
  }
}

TEST_P(MatmulGradTest, FrozenFormatsPassTheGradientToTheInput) {
  const Device device(2, false, GetParam());
  Random random(22);
  for (const DType dtype : kWeightFormats) {
    const int64_t n = 9, rows = 37, cols = width(dtype, 3);
    const RandomWeight w = random_weight(device, random, dtype, rows, cols);
    const Tensor dy = random_matrix(random, DType::kF32, n, rows);
    const Tensor dx = Tensor::zeros(DType::kF32, {n, cols});
    kernels::matmul_input_grad(device, dy.view(), w.view(), dx.view());
    for (int64_t i = 0; i < n * cols; ++i) {
      double sum = 0.0;
      for (int64_t r = 0; r < rows; ++r) {
        sum += at(dy, i / cols * rows + r) * w.values[r * cols + i % cols];
      }
      ASSERT_NEAR(at(dx, i), sum, 1e-5) << dtype_info(dtype).name;
    }
  }
}

TEST_P(MatmulGradTest, WeightGradientIsPackedDyTransposedTimesXWithZeroPadding) {
  const Device device(2, false, GetParam());
  Random random(23);
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const auto& [n, rows, cols] : kShapes) {
      const Tensor dy = random_matrix(random, dtype, n, rows);
      const Tensor x = random_matrix(random, dtype, n, cols);
      const int64_t num_elements =
          kernels::packed_bytes(dtype, rows, cols) / dtype_info(dtype).block_bytes;
      const Tensor dw = random_matrix(random, dtype, 1, num_elements);
      kernels::matmul_weight_grad(device, dy.view(), x.view(), false, dw.view().data);
      for (int64_t i = 0; i < num_elements; ++i) {
        const int64_t row = i / (16 * cols) * 16 + i % 16;
        const int64_t k = i % (16 * cols) / 16;
        double sum = 0.0;
        for (int64_t t = 0; t < n && row < rows; ++t) {
          sum += at(dy, t * rows + row) * at(x, t * cols + k);
        }
        ASSERT_NEAR(at(dw, i), sum, rounding(dtype) * (10.0 + std::fabs(sum))) << row << " " << k;
      }
    }
  }
}

TEST_P(MatmulGradTest, ThreadsDoNotChangeABit) {
  Random random(24);
  const Device one(1, false, GetParam());
  const int64_t n = 75, rows = 130, cols = 270;
  const RandomWeight w = random_weight(one, random, DType::kF32, rows, cols);
  const Tensor dy = random_matrix(random, DType::kF32, n, rows);
  const Tensor x = random_matrix(random, DType::kF32, n, cols);
  std::vector<Tensor> inputs, weights;
  for (const int num_threads : {1, 2, 3}) {
    const Device device(num_threads, false, GetParam());
    inputs.push_back(Tensor::zeros(DType::kF32, {n, cols}));
    weights.push_back(
        Tensor::zeros(DType::kF32, {kernels::packed_bytes(DType::kF32, rows, cols) / 4}));
    kernels::matmul_input_grad(device, dy.view(), w.view(), inputs.back().view());
    kernels::matmul_weight_grad(device, dy.view(), x.view(), false, weights.back().view().data);
    EXPECT_EQ(first_difference(inputs[0], inputs.back()), -1) << num_threads;
    EXPECT_EQ(first_difference(weights[0], weights.back()), -1) << num_threads;
  }
}

TEST_P(MatmulGradTest, MicroBatchesAddUpToTheBitsOfTheirBatch) {
  Random random(26);
  const Device device(2, false, GetParam());
  const int64_t n = 401, rows = 50, cols = 70;
  const Tensor dy = random_matrix(random, DType::kF32, n, rows);
  const Tensor x = random_matrix(random, DType::kF32, n, cols);
  const Tensor whole =
      Tensor::zeros(DType::kF32, {kernels::packed_bytes(DType::kF32, rows, cols) / 4});
  const Tensor parts = random_matrix(random, DType::kF32, 1, whole.num_elements());
  kernels::matmul_weight_grad(device, dy.view(), x.view(), false, whole.view().data);
  const int64_t ends[] = {0, 7, 7, 300, n};
  for (int i = 0; i < 4; ++i) {
    kernels::matmul_weight_grad(device, dy.rows(ends[i], ends[i + 1]).view(),
                                x.rows(ends[i], ends[i + 1]).view(), i > 0, parts.view().data);
  }
  EXPECT_EQ(first_difference(whole, parts), -1);
}

TEST_P(MatmulGradTest, ReadsStridedRows) {
  const Device device(1, false, GetParam());
  Random random(25);
  const RandomWeight w = random_weight(device, random, DType::kF32, 20, 40);
  const Tensor wide_dy = random_matrix(random, DType::kF32, 6, 33);
  const Tensor wide_x = random_matrix(random, DType::kF32, 6, 51);
  const auto copy = [](const Tensor& wide, int64_t begin, int64_t width) {
    const Tensor narrow = Tensor::zeros(DType::kF32, {wide.size(0), width});
    for (int64_t i = 0; i < wide.size(0); ++i) {
      std::copy_n(wide.data<float>() + i * wide.size(1) + begin, width,
                  narrow.data<float>() + i * width);
    }
    return narrow;
  };
  const Tensor dx = Tensor::zeros(DType::kF32, {6, 40}),
               dx_copy = Tensor::zeros(DType::kF32, {6, 40});
  const Tensor dw = Tensor::zeros(DType::kF32, {32 * 40}),
               dw_copy = Tensor::zeros(DType::kF32, {32 * 40});
  const Tensor dy = copy(wide_dy, 5, 20), x = copy(wide_x, 9, 40);
  kernels::matmul_input_grad(device, wide_dy.columns(5, 25).view(), w.view(), dx.view());
  kernels::matmul_input_grad(device, dy.view(), w.view(), dx_copy.view());
  kernels::matmul_weight_grad(device, wide_dy.columns(5, 25).view(), wide_x.columns(9, 49).view(),
                              false, dw.view().data);
  kernels::matmul_weight_grad(device, dy.view(), x.view(), false, dw_copy.view().data);
  EXPECT_EQ(first_difference(dx, dx_copy), -1);
  EXPECT_EQ(first_difference(dw, dw_copy), -1);
}

INSTANTIATE_TEST_SUITE_P(Levels, MatmulGradTest, ::testing::ValuesIn(kCpuLevels),
                         [](const auto& param) { return cpu_level_name(param.param); });

}  // namespace
}  // namespace minke
