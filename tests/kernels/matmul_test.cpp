// Goal: every implementation of matmul and its gradients computes y = x W^T and its derivatives,
// with the same bits for any batch and number of threads. Method: sums in f64 over the decoded
// weights as oracle, for every level of instructions that this CPU has.
#include "minke/kernels/matmul.h"

#include <gtest/gtest.h>

#include "minke/kernels/pointwise.h"
#include "minke/kernels/ref/ref.h"
#include "tests/kernels/matrices.h"

namespace minke {
namespace {

class MatmulTest : public ::testing::TestWithParam<CpuLevel> {
 protected:
  void SetUp() override {
    if (!cpu_level_supported(GetParam())) GTEST_SKIP() << "not on this CPU";
  }
  Random random_{11};
};

struct Quantized {
  std::vector<int8_t> q, q_low;
  std::vector<uint8_t> has_low;
  std::vector<float> scale, scale_sum;
  std::vector<int32_t> q_sum, q_low_sum;
  kernels::Int8View view;
  Quantized(int64_t rows, int64_t cols)
      : q(rows * cols),
        q_low(rows * cols),
        has_low(rows * cols / 32),
        scale(rows * cols / 32),
        scale_sum(rows * cols / 32),
        q_sum(rows * cols / 16),
        q_low_sum(rows * cols / 16),
        view{q.data(),     q_low.data(),     has_low.data(), scale.data(), scale_sum.data(),
             q_sum.data(), q_low_sum.data(), rows,           cols} {}
};

void expect_same(const Quantized& out, const Quantized& expected) {
  EXPECT_EQ(out.q, expected.q);
  EXPECT_EQ(out.q_low, expected.q_low);
  EXPECT_EQ(out.has_low, expected.has_low);
  EXPECT_EQ(out.scale, expected.scale);
  EXPECT_EQ(out.scale_sum, expected.scale_sum);
  EXPECT_EQ(out.q_sum, expected.q_sum);
  EXPECT_EQ(out.q_low_sum, expected.q_low_sum);
}

// What number i stands for.
float value(const Quantized& x, int64_t i) {
  return x.scale[i / 32] / 128.0f * static_cast<float>(128 * x.q[i] + x.q_low[i]);
}

// Rows with and without blocks that need 15 bits, and zeros.
Tensor random_input(Random& random, int64_t rows, int64_t cols) {
  Tensor x = random_matrix(random, DType::kF32, rows, cols);
  for (int64_t b = 0; b < rows * cols / 32; ++b) {
    const uint64_t kind = random.below(6);
    if (kind == 0) x.data<float>()[b * 32 + b % 32] *= 300.0f;
    if (kind == 1) std::fill_n(x.data<float>() + b * 32, 32, b % 2 == 0 ? 0.0f : -0.0f);
  }
  return x;
}

// Weights of a format and inputs of `blocks` of its blocks, also quantised.
struct Int8Case {
  RandomWeight w;
  Tensor x;
  Quantized quantized;
  Int8Case(const Device& device, Random& random, DType dtype, int64_t n, int64_t rows,
           int64_t blocks)
      : w(random_weight(device, random, dtype, rows, width(dtype, blocks))),
        x(random_input(random, n, w.cols)),
        quantized(n, w.cols) {
    kernels::quantize_int8(device, x.view(), quantized.view);
  }
};

// |found - x . w| against what K roundings of f32 may do to a sum of such terms.
void expect_product(const Tensor& x, const RandomWeight& w, const Tensor& y, double relative) {
  for (int64_t i = 0; i < x.size(0); ++i) {
    for (int64_t r = i % kOracleStep; r < w.rows; r += kOracleStep) {
      double sum = 0.0, magnitude = 0.0;
      for (int64_t k = 0; k < w.cols; ++k) {
        const double term =
            static_cast<double>(x.data<float>()[i * w.cols + k]) * w.values[r * w.cols + k];
        sum += term;
        magnitude += std::fabs(term);
      }
      ASSERT_NEAR(y.data<float>()[i * w.rows + r], sum, relative * magnitude + 1e-12)
          << dtype_info(w.dtype).name << " [" << w.rows << ", " << w.cols << "] row " << i
          << " output " << r;
    }
  }
}

TEST_P(MatmulTest, EqualsTheSumInDoubleForEveryFormatAndOddSizes) {
  const Device device(2, false, GetParam());
  for (const DType dtype : kWeightFormats) {
    for (const auto& [n, rows, blocks] : {std::array<int64_t, 3>{1, 1, 1},
                                          {1, 17, 3},
                                          {2, 33, 2},
                                          {7, 48, 5},
                                          {13, 95, 1},
                                          {33, 100, 2}}) {
      const int64_t cols = width(dtype, blocks);
      const RandomWeight w = random_weight(device, random_, dtype, rows, cols);
      const Tensor x = random_matrix(random_, DType::kF32, n, cols);
      const Tensor y = random_matrix(random_, DType::kF32, n, rows);  // to be overwritten
      kernels::matmul(device, x.view(), w.view(), y.view());
      expect_product(x, w, y, 1e-6);
    }
  }
}

TEST_P(MatmulTest, TakesWidthsThatAreNoMultipleOfAnything) {
  const Device device(2, false, GetParam());
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    for (const int64_t cols : {1, 3, 31, 77}) {
      const RandomWeight w = random_weight(device, random_, dtype, 37, cols);
      const Tensor x = random_matrix(random_, DType::kF32, 5, cols);
      const Tensor y = Tensor::zeros(DType::kF32, {5, 37});
      kernels::matmul(device, x.view(), w.view(), y.view());
      expect_product(x, w, y, 1e-6);
    }
  }
}

TEST_P(MatmulTest, HasTheBitsOfTheReference) {
  const Device device(2, false, GetParam());
  for (const DType dtype : kWeightFormats) {
    const int64_t cols = width(dtype, 3);
    const RandomWeight w = random_weight(device, random_, dtype, 50, cols);
    const Tensor x = random_matrix(random_, DType::kF32, 9, cols);
    const Tensor y = Tensor::zeros(DType::kF32, {9, 50});
    const Tensor expected = Tensor::zeros(DType::kF32, {9, 50});
    kernels::matmul(device, x.view(), w.view(), y.view());
    kernels::ref::matmul(x.view(), w.view(), expected.view(), 0, w.view().num_panels());
    EXPECT_EQ(first_difference(y, expected), -1) << dtype_info(dtype).name;
  }
}

TEST_P(MatmulTest, ARowsBitsDoNotDependOnTheBatchOrTheThreads) {
  Random random(12);
  const Device one(1, false, GetParam());
  for (const DType dtype : kWeightFormats) {
    const int64_t n = 23, rows = 200, cols = width(dtype, 2);
    const RandomWeight w = random_weight(one, random, dtype, rows, cols);
    const Tensor x = random_matrix(random, DType::kF32, n, cols);
    const Tensor alone = Tensor::zeros(DType::kF32, {n, rows});
    for (int64_t i = 0; i < n; ++i) {
      kernels::matmul(one, x.rows(i, i + 1).view(), w.view(), alone.rows(i, i + 1).view());
    }
    for (const int num_threads : thinned({1, 2, 3}, {3})) {
      const Device device(num_threads, false, GetParam());
      for (int64_t begin = 0; begin < n; begin += kCheckedBuild ? 11 : 5) {
        const Tensor y = Tensor::zeros(DType::kF32, {n - begin, rows});
        kernels::matmul(device, x.rows(begin, n).view(), w.view(), y.view());
        ASSERT_EQ(first_difference(y, alone.rows(begin, n)), -1) << dtype_info(dtype).name;
      }
    }
  }
}

// Few rows take ways of their own.
TEST_P(MatmulTest, OneToFiveRowsHaveTheBitsOfEachAlone) {
  const Device device(2, false, GetParam());
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBf16}) {
    const RandomWeight w = random_weight(device, random_, dtype, 117, 62);
    const Tensor x = random_matrix(random_, DType::kF32, 5, 62);
    const Tensor rounded = Tensor::zeros(DType::kBf16, x.shape());
    kernels::round_bf16(device, x.view(), rounded.view());
    const Tensor f32 = Tensor::zeros(DType::kF32, {5, 117}),
                 bf16 = Tensor::zeros(DType::kF32, {5, 117});
    for (int64_t i = 0; i < 5; ++i) {
      kernels::matmul(device, x.rows(i, i + 1).view(), w.view(), f32.rows(i, i + 1).view());
      kernels::matmul_bf16(device, rounded.rows(i, i + 1).view(), w.view(),
                           bf16.rows(i, i + 1).view());
    }
    for (int64_t n = 2; n <= 5; ++n) {
      const Tensor y = Tensor::zeros(DType::kF32, {n, 117});
      kernels::matmul(device, x.rows(0, n).view(), w.view(), y.view());
      ASSERT_EQ(first_difference(y, f32.rows(0, n)), -1) << dtype_info(dtype).name << " " << n;
      kernels::matmul_bf16(device, rounded.rows(0, n).view(), w.view(), y.view());
      ASSERT_EQ(first_difference(y, bf16.rows(0, n)), -1) << dtype_info(dtype).name << " " << n;
    }
  }
}

TEST_P(MatmulTest, ReadsAndWritesStridedRows) {
  const Device device(2, false, GetParam());
  const RandomWeight w = random_weight(device, random_, DType::kQ4_1, 33, 64);
  const Tensor wide_x = random_matrix(random_, DType::kF32, 6, 100);
  const Tensor wide_y = random_matrix(random_, DType::kF32, 6, 50);
  const float untouched = wide_y.data<float>()[5];
  kernels::matmul(device, wide_x.columns(7, 71).view(), w.view(), wide_y.columns(6, 39).view());
  const Tensor x = Tensor::zeros(DType::kF32, {6, 64});
  const Tensor y = Tensor::zeros(DType::kF32, {6, 33});
  for (int64_t i = 0; i < 6; ++i) {
    std::copy_n(wide_x.data<float>() + i * 100 + 7, 64, x.data<float>() + i * 64);
    std::copy_n(wide_y.data<float>() + i * 50 + 6, 33, y.data<float>() + i * 33);
  }
  expect_product(x, w, y, 1e-6);
  EXPECT_EQ(wide_y.data<float>()[5], untouched);
}

constexpr DType kFloatFormats[] = {DType::kF32, DType::kF16, DType::kBf16};

Tensor rounded_to_bf16(const Device& device, const Tensor& x) {
  const Tensor out = Tensor::zeros(DType::kBf16, x.shape());
  kernels::round_bf16(device, x.view(), out.view());
  return out;
}

TEST_P(MatmulTest, RoundsToBf16AsTheReferenceDoes) {
  const Device device(2, false, GetParam());
  for (const int64_t cols : {1, 15, 16, 17, 64, 77}) {
    const Tensor x = random_matrix(random_, DType::kF32, 33, cols);
    x.data<float>()[0] = 1.0f + 0x1p-8f;  // halfway: to even
    const Tensor y = rounded_to_bf16(device, x);
    for (int64_t i = 0; i < x.num_elements(); ++i) {
      ASSERT_EQ(y.data<uint16_t>()[i], f32_to_bf16(x.data<float>()[i])) << cols << " " << i;
    }
  }
}

TEST_P(MatmulTest, Bf16ProductsEqualTheSumOverTheRoundedNumbers) {
  const Device device(2, false, GetParam());
  for (const DType dtype : kFloatFormats) {
    for (const auto& [n, rows, cols] : {std::array<int64_t, 3>{1, 1, 2},
                                        {1, 70, 64},
                                        {2, 130, 30},
                                        {3, 17, 96},
                                        {8, 64, 34},
                                        {29, 77, 160}}) {
      RandomWeight w = random_weight(device, random_, dtype, rows, cols);
      const Tensor x = random_matrix(random_, DType::kF32, n, cols);
      const Tensor rounded = rounded_to_bf16(device, x);
      for (int64_t i = 0; i < x.num_elements(); ++i) {
        x.data<float>()[i] = bf16_to_f32(rounded.data<uint16_t>()[i]);
      }
      for (auto& value : w.values) value = bf16_to_f32(f32_to_bf16(static_cast<float>(value)));
      const Tensor y = random_matrix(random_, DType::kF32, n, rows);  // to be overwritten
      kernels::matmul_bf16(device, rounded.view(), w.view(), y.view());
      expect_product(x, w, y, 1e-6);
    }
  }
}

TEST_P(MatmulTest, Bf16ProductsOfARowDoNotDependOnTheBatchOrTheThreads) {
  const Device one(1, false, GetParam());
  for (const DType dtype : kFloatFormats) {
    const int64_t n = 23, rows = 210, cols = 66;
    const RandomWeight w = random_weight(one, random_, dtype, rows, cols);
    const Tensor x = rounded_to_bf16(one, random_matrix(random_, DType::kF32, n, cols));
    const Tensor alone = Tensor::zeros(DType::kF32, {n, rows});
    for (int64_t i = 0; i < n; ++i) {
      kernels::matmul_bf16(one, x.rows(i, i + 1).view(), w.view(), alone.rows(i, i + 1).view());
    }
    for (const int num_threads : thinned({1, 2, 3}, {3})) {
      const Device device(num_threads, false, GetParam());
      for (int64_t begin = 0; begin < n; begin += kCheckedBuild ? 11 : 4) {
        const Tensor y = Tensor::zeros(DType::kF32, {n - begin, rows});
        kernels::matmul_bf16(device, x.rows(begin, n).view(), w.view(), y.view());
        ASSERT_EQ(first_difference(y, alone.rows(begin, n)), -1) << dtype_info(dtype).name;
      }
    }
  }
}

TEST_P(MatmulTest, QuantizesAsTheReferenceDoesAndOutliersFinely) {
  const Device device(2, false, GetParam());
  const int64_t rows = 61, cols = 160;
  const Tensor x = random_input(random_, rows, cols);
  Quantized out(rows, cols), expected(rows, cols);
  kernels::quantize_int8(device, x.view(), out.view);
  kernels::ref::quantize_int8(x.view(), expected.view, 0, rows);
  expect_same(out, expected);
  int num_fine = 0;
  for (int64_t b = 0; b < rows * cols / 32; ++b) {
    const float scale = out.scale[b];
    num_fine += out.has_low[b];
    float largest = 0.0f;
    for (int64_t i = b * 32; i < b * 32 + 32; ++i) {
      ASSERT_LE(std::abs(out.q_low[i]), out.has_low[b] ? 64 : 0);
      // Half a step, and what f32 loses of 128 q + q_low (15 bits) times a rounded scale.
      const float bound = (out.has_low[b] ? 0.51f / 128 : 0.50001f) * scale;
      ASSERT_NEAR(value(out, i), x.data<float>()[i], bound) << i;
      largest = std::max(largest, std::abs(x.data<float>()[i]));
    }
    EXPECT_EQ(scale == 0.0f, largest == 0.0f);
  }
  EXPECT_GT(num_fine, 20);
  EXPECT_LT(num_fine, rows * cols / 32 / 3);
}

TEST_P(MatmulTest, IntegerProductsEqualTheSumOverTheQuantizedNumbers) {
  const Device device(2, false, GetParam());
  for (const DType dtype : kBlockDTypes) {
    for (const auto& [n, rows, blocks] :
         {std::array<int64_t, 3>{1, 1, 1}, {1, 50, 3}, {3, 33, 2}, {8, 64, 3}, {29, 77, 5}}) {
      const Int8Case c(device, random_, dtype, n, rows, blocks);
      const Tensor rounded = Tensor::zeros(DType::kF32, {n, c.w.cols});
      for (int64_t i = 0; i < n * c.w.cols; ++i) {
        rounded.data<float>()[i] = value(c.quantized, i);
      }
      const Tensor y = random_matrix(random_, DType::kF32, n, rows);
      kernels::matmul_int8(device, c.quantized.view, c.w.view(), y.view());
      expect_product(rounded, c.w, y, 1e-5);
    }
  }
}

TEST_P(MatmulTest, IntegerProductsOfARowDoNotDependOnTheBatchOrTheThreads) {
  Random random(13);
  const Device one(1, false, GetParam());
  for (const DType dtype : kBlockDTypes) {
    const int64_t n = 23, rows = 210, cols = width(dtype, 2);
    const RandomWeight w = random_weight(one, random, dtype, rows, cols);
    const Tensor x = random_input(random, n, cols);
    const Tensor alone = Tensor::zeros(DType::kF32, {n, rows});
    for (int64_t i = 0; i < n; ++i) {
      Quantized quantized(1, cols);
      kernels::quantize_int8(one, x.rows(i, i + 1).view(), quantized.view);
      kernels::matmul_int8(one, quantized.view, w.view(), alone.rows(i, i + 1).view());
    }
    for (const int num_threads : thinned({1, 2, 3}, {3})) {
      const Device device(num_threads, false, GetParam());
      for (int64_t begin = 0; begin < n; begin += kCheckedBuild ? 11 : 4) {
        Quantized quantized(n - begin, cols);
        kernels::quantize_int8(device, x.rows(begin, n).view(), quantized.view);
        const Tensor y = Tensor::zeros(DType::kF32, {n - begin, rows});
        kernels::matmul_int8(device, quantized.view, w.view(), y.view());
        ASSERT_EQ(first_difference(y, alone.rows(begin, n)), -1) << dtype_info(dtype).name;
      }
    }
  }
}

TEST_P(MatmulTest, IntegerProductsHaveTheBitsOfTheReference) {
  const Device device(2, false, GetParam());
  for (const DType dtype : kBlockDTypes) {
    for (const auto& [n, rows, blocks] : {std::array<int64_t, 3>{1, 50, 3},
                                          {2, 17, 1},
                                          {3, 33, 2},
                                          {4, 50, 1},
                                          {6, 33, 1},
                                          {10, 17, 2},
                                          {12, 33, 1},
                                          {13, 33, 2}}) {
      const Int8Case c(device, random_, dtype, n, rows, blocks);
      const Tensor y = Tensor::zeros(DType::kF32, {n, rows});
      const Tensor expected = Tensor::zeros(DType::kF32, {n, rows});
      kernels::matmul_int8(device, c.quantized.view, c.w.view(), y.view());
      kernels::ref::matmul_int8(c.quantized.view, c.w.view(), expected.view(), false, 0,
                                c.w.view().num_panels());
      ASSERT_EQ(first_difference(y, expected), -1) << dtype_info(dtype).name;
      // Added to a residual, they are that much more, in one rounding.
      const Tensor sum = random_matrix(random_, DType::kF32, n, rows);
      kernels::add(device, sum.view(), expected.view(), expected.view());
      kernels::matmul_int8_add(device, c.quantized.view, c.w.view(), sum.view());
      ASSERT_EQ(first_difference(sum, expected), -1) << dtype_info(dtype).name;
    }
  }
}

TEST_P(MatmulTest, QuantizingANormHasTheBitsOfItsParts) {
  for (const int num_threads : {1, 3}) {
    const Device device(num_threads, false, GetParam());
    for (const auto& [rows, cols] : {std::array<int64_t, 2>{1, 32}, {5, 96}, {50, 576}}) {
      const Tensor wide = random_input(random_, rows, cols + 64);
      const ConstView x = wide.columns(32, 32 + cols).view();
      const Tensor weight = random_matrix(random_, DType::kF32, 1, cols);
      const Tensor normed = Tensor::zeros(DType::kF32, {rows, cols});
      Quantized expected(rows, cols), out(rows, cols);
      kernels::rms_norm(device, x, weight.view(), 1e-5, normed.view());
      kernels::quantize_int8(device, normed.view(), expected.view);
      kernels::rms_norm_quantize_int8(device, x, weight.view(), 1e-5, out.view);
      expect_same(out, expected);
    }
  }
}

TEST_P(MatmulTest, FusedSwigluHasTheBitsOfItsParts) {
  const Device device(2, false, GetParam());
  for (const DType dtype : kBlockDTypes) {
    // 20: no whole panel, so the parts are taken one after the other.
    for (const auto& [n, half] :
         {std::array<int64_t, 2>{1, 16}, {1, 80}, {2, 48}, {3, 16}, {4, 48}, {13, 112}, {5, 20}}) {
      const Int8Case c(device, random_, dtype, n, 2 * half, 2);
      const Tensor gate_up = Tensor::zeros(DType::kF32, {n, 2 * half});
      const Tensor expected = Tensor::zeros(DType::kF32, {n, half});
      const Tensor y = random_matrix(random_, DType::kF32, n, half);
      kernels::matmul_int8(device, c.quantized.view, c.w.view(), gate_up.view());
      kernels::swiglu(device, gate_up.view(), expected.view());
      kernels::matmul_int8_swiglu(device, c.quantized.view, c.w.view(), y.view());
      ASSERT_EQ(first_difference(y, expected), -1) << dtype_info(dtype).name << " " << half;
    }
  }
}

TEST_P(MatmulTest, GroupsOfRowsHaveTheBitsOfACallEach) {
  const Device device(3, false, GetParam());
  const std::vector<int64_t> group_rows = {1, 7, 2, 30, 5};
  for (const int64_t half : {16, 20, 112}) {  // 20: no whole panel
    std::vector<RandomWeight> weights;
    std::vector<kernels::MatmulGroup> groups;
    int64_t num_rows = 0;
    for (size_t g = 0; g < group_rows.size(); ++g) {
      const DType dtype = g % 2 == 0 ? DType::kQ4_K : DType::kQ5_0;
      weights.push_back(random_weight(device, random_, dtype, 2 * half, 256));
      num_rows += group_rows[g];
    }
    for (size_t g = 0; g < weights.size(); ++g)
      groups.push_back({weights[g].view(), group_rows[g]});
    const Tensor x = random_input(random_, num_rows, 256);
    Quantized quantized(num_rows, 256);
    kernels::quantize_int8(device, x.view(), quantized.view);
    const Tensor y = random_matrix(random_, DType::kF32, num_rows, 2 * half);
    const Tensor fused = random_matrix(random_, DType::kF32, num_rows, half);
    kernels::matmul_int8_grouped(device, quantized.view, groups, y.view());
    kernels::matmul_int8_swiglu_grouped(device, quantized.view, groups, fused.view());
    int64_t row = 0;
    for (const auto& [w, rows] : groups) {
      const kernels::Int8View part = quantized.view.rows_from(row, rows);
      const Tensor expected = Tensor::zeros(DType::kF32, {rows, 2 * half});
      const Tensor expected_fused = Tensor::zeros(DType::kF32, {rows, half});
      kernels::matmul_int8(device, part, w, expected.view());
      kernels::matmul_int8_swiglu(device, part, w, expected_fused.view());
      ASSERT_EQ(first_difference(y.rows(row, row + rows), expected), -1) << half << " " << row;
      ASSERT_EQ(first_difference(fused.rows(row, row + rows), expected_fused), -1) << half;
      row += rows;
    }
  }
}

TEST_P(MatmulTest, TheLargestWholeNumbersDoNotOverflow) {
  // Weights and inputs at the ends of their ranges, where products of bytes would saturate 16 bits
  // and sums are largest.
  const Device device(1, false, GetParam());
  for (const DType dtype : kBlockDTypes) {
    const int64_t n = 3, rows = 16, cols = width(dtype, 1);
    for (const int fill : {0x00, 0x7F, 0x80, 0xFF}) {
      RandomWeight w = random_weight(device, random_, dtype, rows, cols);
      fill_blocks(device, w, static_cast<std::byte>(fill));
      const Tensor x = Tensor::zeros(DType::kF32, {n, cols});
      for (int64_t i = 0; i < n * cols; ++i) {
        x.data<float>()[i] = i < cols ? 127.0f : i < 2 * cols ? -127.0f : i % 2 ? 127.0f : -127.0f;
      }
      Quantized quantized(n, cols);
      kernels::quantize_int8(device, x.view(), quantized.view);
      const Tensor y = Tensor::zeros(DType::kF32, {n, rows});
      kernels::matmul_int8(device, quantized.view, w.view(), y.view());
      expect_product(x, w, y, 1e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, MatmulTest, ::testing::ValuesIn(kCpuLevels),
                         [](const auto& param) { return cpu_level_name(param.param); });

}  // namespace
}  // namespace minke
