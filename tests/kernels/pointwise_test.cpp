// Goal: kernels that go through rows compute their equations, at every level of instructions, with
// bits that do not depend on the other rows or the threads. Method: f32 against the same equation
// in f64.
#include "minke/kernels/pointwise.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "minke/kernels/exp.h"
#include "tests/kernels/matrices.h"

namespace minke {
namespace {

class PointwiseTest : public ::testing::TestWithParam<CpuLevel> {
 protected:
  void SetUp() override {
    if (!cpu_level_supported(GetParam())) GTEST_SKIP() << "not on this CPU";
  }
  Random random_{41};
};

void expect_near(const Tensor& found, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(found.num_elements(), static_cast<int64_t>(expected.size()));
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_NEAR(found.data<float>()[i], expected[i], tolerance * (1 + std::fabs(expected[i]))) << i;
  }
}

TEST(ExpTest, IsWithinOneUlpOverTheWholeRange) {
  double worst = 0.0;
  for (double x = -87.3; x < 88.7; x += 0.000937) {
    const auto rounded = static_cast<float>(x);
    const double exact = std::exp(static_cast<double>(rounded));
    const auto nearest = static_cast<float>(exact);
    const double ulp = std::nextafter(nearest, INFINITY) - nearest;
    worst = std::max(worst, std::fabs(kernels::exp_f32(rounded) - exact) / ulp);
  }
  EXPECT_LT(worst, 1.0);
  EXPECT_GT(worst, 0.4) << "half an ulp is the rounding itself: the measure must be wrong";
}

TEST(ExpTest, EndsAreZeroInfinityAndNaN) {
  EXPECT_EQ(kernels::exp_f32(0.0f), 1.0f);
  EXPECT_EQ(kernels::exp_f32(-INFINITY), 0.0f);
  EXPECT_EQ(kernels::exp_f32(-1e30f), 0.0f);
  EXPECT_EQ(kernels::exp_f32(-88.0f), 0.0f);
  EXPECT_EQ(kernels::exp_f32(INFINITY), INFINITY);
  EXPECT_EQ(kernels::exp_f32(88.8f), INFINITY);
  EXPECT_TRUE(std::isfinite(kernels::exp_f32(88.7f)));
  EXPECT_TRUE(std::isnan(kernels::exp_f32(NAN)));
}

TEST_P(PointwiseTest, RmsNormEqualsItsEquationInDouble) {
  const Device device(2, false, GetParam());
  for (const auto& [n, cols] : {std::array<int64_t, 2>{1, 1}, {1, 576}, {7, 33}, {33, 64}}) {
    const Tensor x = random_matrix(random_, DType::kF32, n, cols, 3.0);
    const Tensor w = random_matrix(random_, DType::kF32, 1, cols);
    const Tensor y = Tensor::zeros(DType::kF32, {n, cols});
    kernels::rms_norm(device, x.view(), w.view(), 1e-5, y.view());
    std::vector<double> expected;
    for (int64_t i = 0; i < n; ++i) {
      double squares = 0.0;
      for (const float value : x.rows(i, i + 1).span<float>()) squares += double{value} * value;
      for (int64_t c = 0; c < cols; ++c) {
        expected.push_back(x.data<float>()[i * cols + c] * w.data<float>()[c] /
                           std::sqrt(squares / static_cast<double>(cols) + 1e-5));
      }
    }
    expect_near(y, expected, 1e-6);
  }
}

TEST_P(PointwiseTest, SwigluEqualsItsEquationInDoubleAlsoForLargeGates) {
  const Device device(2, false, GetParam());
  for (const int64_t width : {1, 17, 64, 96}) {
    const Tensor x = random_matrix(random_, DType::kF32, 5, 2 * width, 20.0);
    x.data<float>()[0] = -200.0f;
    x.data<float>()[2 * width] = 200.0f;
    const Tensor y = Tensor::zeros(DType::kF32, {5, width});
    kernels::swiglu(device, x.view(), y.view());
    std::vector<double> expected;
    for (int64_t i = 0; i < 5 * width; ++i) {
      const float* gate = x.data<float>() + i / width * 2 * width + i % width;
      expected.push_back(gate[0] / (1.0 + std::exp(-double{gate[0]})) * gate[width]);
    }
    expect_near(y, expected, 2e-6);
  }
}

TEST_P(PointwiseTest, RopeTurnsPairsAndBack) {
  const Device device(2, false, GetParam());
  const int64_t head_dim = 16, num_heads = 3, n = 7;
  std::vector<float> table(10 * head_dim);
  for (int64_t p = 0; p < 10; ++p) {
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      table[p * head_dim + i] = std::cos(0.1f * static_cast<float>(p * (i + 1)));
      table[p * head_dim + head_dim / 2 + i] = std::sin(0.1f * static_cast<float>(p * (i + 1)));
    }
  }
  const std::vector<int32_t> positions = {0, 9, 3, 3, 1, 7, 2};
  const Tensor x = random_matrix(random_, DType::kF32, n, num_heads * head_dim);
  for (const auto style : {kernels::RopeStyle::kInterleaved, kernels::RopeStyle::kHalf}) {
    kernels::RopeArgs args{positions.data(), table.data(), head_dim, style, false};
    const Tensor y = Tensor::zeros(DType::kF32, x.shape());
    kernels::rope(device, x.view(), args, y.view());
    std::vector<double> expected(x.num_elements());
    for (int64_t row = 0; row < n; ++row) {
      for (int64_t pair = 0; pair < num_heads * head_dim / 2; ++pair) {
        const int64_t head = pair / (head_dim / 2), i = pair % (head_dim / 2);
        const bool half = style == kernels::RopeStyle::kHalf;
        const int64_t a = (row * num_heads + head) * head_dim + (half ? i : 2 * i);
        const int64_t b = a + (half ? head_dim / 2 : 1);
        const double angle = 0.1 * static_cast<double>(positions[row] * (i + 1));
        const double x0 = x.data<float>()[a], x1 = x.data<float>()[b];
        expected[a] = x0 * std::cos(angle) - x1 * std::sin(angle);
        expected[b] = x0 * std::sin(angle) + x1 * std::cos(angle);
      }
    }
    expect_near(y, expected, 2e-6);
    args.inverse = true;
    kernels::rope(device, y.view(), args, y.view());  // in place
    expect_near(y, {x.span<float>().begin(), x.span<float>().end()}, 1e-6);
  }
}

TEST_P(PointwiseTest, CrossEntropyEqualsItsEquationAndIgnoresNegativeTargets) {
  const Device device(2, false, GetParam());
  for (const int64_t vocab : {1, 33, 5000}) {
    const Tensor logits = random_matrix(random_, DType::kF32, 4, vocab, 10.0);
    for (float& value : logits.rows(1, 2).span<float>()) value += 1e4f;  // must not overflow
    const std::vector<int32_t> targets = {0, static_cast<int32_t>(vocab - 1), -1,
                                          static_cast<int32_t>(vocab / 2)};
    const Tensor losses = Tensor::zeros(DType::kF32, {4});
    const Tensor grad = Tensor::zeros(DType::kF32, logits.shape());
    kernels::cross_entropy(device, logits.view(), targets.data(), losses.view());
    const Tensor scales = Tensor::zeros(DType::kF32, {4});
    for (float& scale : scales.span<float>()) scale = 0.5f;
    kernels::cross_entropy_grad(device, logits.view(), targets.data(), scales.view(), grad.view());
    for (int64_t i = 0; i < 4; ++i) {
      const float* row = logits.data<float>() + i * vocab;
      const double max = *std::max_element(row, row + vocab);
      double sum = 0.0;
      for (int64_t c = 0; c < vocab; ++c) sum += std::exp(row[c] - max);
      const bool counts = targets[i] >= 0;
      const double loss = counts ? max + std::log(sum) - row[targets[i]] : 0.0;
      EXPECT_NEAR(losses.data<float>()[i], loss, 1e-5 * (1 + loss));
      for (int64_t c = 0; c < vocab; ++c) {
        const double p = std::exp(row[c] - max) / sum;
        const double expected = counts ? 0.5 * (p - (c == targets[i] ? 1.0 : 0.0)) : 0.0;
        // At 1e4 the logits' own spacing is 1e-3, and so is that of log-sum-exp as a float.
        ASSERT_NEAR(grad.data<float>()[i * vocab + c], expected, i == 1 ? 5e-4 : 2e-6);
      }
    }
  }
}

TEST_P(PointwiseTest, LayerNormEqualsItsEquation) {
  const Device device(2, false, GetParam());
  for (const int64_t cols : {1, 33, 576}) {
    const Tensor x = random_matrix(random_, DType::kF32, 5, cols);
    const Tensor w = random_matrix(random_, DType::kF32, 1, cols);
    const Tensor b = random_matrix(random_, DType::kF32, 1, cols);
    const Tensor y = Tensor::zeros(DType::kF32, x.shape());
    for (const bool has_bias : {true, false}) {
      kernels::layer_norm(device, x.view(), w.view(), has_bias ? b.view() : View(), 1e-5, y.view());
      std::vector<double> expected;
      for (int64_t i = 0; i < 5; ++i) {
        const float* row = x.data<float>() + i * cols;
        double mean = 0.0, squares = 0.0;
        for (int64_t c = 0; c < cols; ++c) mean += row[c] / static_cast<double>(cols);
        for (int64_t c = 0; c < cols; ++c) squares += (row[c] - mean) * (row[c] - mean);
        const double r = 1.0 / std::sqrt(squares / static_cast<double>(cols) + 1e-5);
        for (int64_t c = 0; c < cols; ++c) {
          expected.push_back((row[c] - mean) * r * w.data<float>()[c] +
                             (has_bias ? b.data<float>()[c] : 0.0));
        }
      }
      expect_near(y, expected, 3e-6);
    }
  }
}

TEST_P(PointwiseTest, GeluEqualsItsEquationsEverywhere) {
  const Device device(2, false, GetParam());
  const int64_t n = 3001;
  const Tensor x = Tensor::zeros(DType::kF32, {n});
  for (int64_t i = 0; i < n; ++i) x.data<float>()[i] = static_cast<float>(i - n / 2) * 0.01f;
  const Tensor y = Tensor::zeros(DType::kF32, {n});
  std::vector<double> by_erf, by_tanh;
  for (const float value : x.span<float>()) {
    const double a = value;
    by_erf.push_back(0.5 * a * std::erfc(-a / std::sqrt(2.0)));
    const double u = std::sqrt(2.0 / M_PI) * (a + 0.044715 * a * a * a);
    by_tanh.push_back(0.5 * a * (1.0 + std::tanh(u)));
  }
  kernels::gelu(device, x.view(), kernels::GeluForm::kErf, y.view());
  expect_near(y, by_erf, 5e-7);
  kernels::gelu(device, x.view(), kernels::GeluForm::kTanh, y.view());
  expect_near(y, by_tanh, 5e-7);
}

TEST_P(PointwiseTest, GeluAndLayerNormGradientsInF32AreThoseInF64) {
  const Device device(2, false, GetParam());
  const int64_t n = 7, cols = 50;
  std::vector<Tensor> wide, narrow;
  for (const int64_t rows : {n, n, int64_t{1}}) {  // x, dy, w
    narrow.push_back(random_matrix(random_, DType::kF32, rows, cols));
    wide.push_back(Tensor::zeros(DType::kF64, {rows, cols}));
    std::copy_n(narrow.back().data<float>(), rows * cols, wide.back().data<double>());
  }
  const auto gradients = [&](const std::vector<Tensor>& in) {
    const DType dtype = in[0].dtype();
    std::vector<Tensor> out;
    for (const int64_t rows : {n, n, n, int64_t{1}, int64_t{1}}) {
      out.push_back(Tensor::zeros(dtype, {rows, cols}));
    }
    kernels::gelu_grad(device, in[0].view(), in[1].view(), kernels::GeluForm::kErf, out[0].view());
    kernels::gelu_grad(device, in[0].view(), in[1].view(), kernels::GeluForm::kTanh, out[1].view());
    kernels::layer_norm_grad(device, in[0].view(), in[2].view(), 1e-5, in[1].view(), out[2].view(),
                             out[3].view(), out[4].view());
    return out;
  };
  const std::vector<Tensor> found = gradients(narrow), expected = gradients(wide);
  for (size_t i = 0; i < found.size(); ++i) {
    const auto values = expected[i].span<double>();
    expect_near(found[i], {values.begin(), values.end()}, 5e-6);
  }
}

TEST_P(PointwiseTest, ARowsBitsDoNotDependOnTheOthersOrTheThreads) {
  const int64_t n = 70, cols = 608;
  const Tensor x = random_matrix(random_, DType::kF32, n, cols);
  const Tensor w = random_matrix(random_, DType::kF32, 1, cols);
  using RowKernel = std::function<void(const Device&, const Tensor&, const Tensor&)>;
  const RowKernel kernels_under_test[] = {
      [&](const Device& device, const Tensor& in, const Tensor& out) {
        kernels::rms_norm(device, in.view(), w.view(), 1e-5, out.view());
      },
      [&](const Device& device, const Tensor& in, const Tensor& out) {
        kernels::swiglu(device, in.view(), out.columns(0, cols / 2).view());
      },
      [&](const Device& device, const Tensor& in, const Tensor& out) {
        const std::vector<int32_t> targets(in.size(0), 3);
        const Tensor scales = Tensor::zeros(DType::kF32, {in.size(0)});
        for (float& scale : scales.span<float>()) scale = 1.0f;
        kernels::cross_entropy_grad(device, in.view(), targets.data(), scales.view(), out.view());
      }};
  for (const RowKernel& run : kernels_under_test) {
    const Tensor alone = Tensor::zeros(DType::kF32, x.shape());
    const Device one(1, false, GetParam());
    for (int64_t i = 0; i < n; ++i) run(one, x.rows(i, i + 1), alone.rows(i, i + 1));
    for (const int num_threads : {1, 2, 3}) {
      const Tensor all = Tensor::zeros(DType::kF32, x.shape());
      run(Device(num_threads, false, GetParam()), x, all);
      EXPECT_EQ(first_difference(alone, all), -1) << num_threads << " threads";
    }
  }
}

TEST_P(PointwiseTest, SumsOverRowsHaveTheSameBitsForAnyNumberOfThreads) {
  const int64_t n = 37, cols = 200;
  const Tensor x = random_matrix(random_, DType::kF32, n, cols);
  const Tensor dy = random_matrix(random_, DType::kF32, n, cols);
  const Tensor w = random_matrix(random_, DType::kF32, 1, cols);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>(random_.below(5)));
  std::vector<Tensor> dws, tables;
  for (const int num_threads : {1, 2, 3}) {
    const Device device(num_threads, false, GetParam());
    const Tensor dx = Tensor::zeros(DType::kF32, {n, cols});
    dws.push_back(random_matrix(random_, DType::kF32, 1, cols));
    tables.push_back(random_matrix(random_, DType::kF32, 6, cols));
    kernels::rms_norm_grad(device, x.view(), w.view(), 1e-5, dy.view(), dx.view(),
                           dws.back().view());
    kernels::embedding_grad(device, dy.view(), ids.data(), tables.back().view());
    EXPECT_EQ(first_difference(dws[0], dws.back()), -1);
    EXPECT_EQ(first_difference(tables[0], tables.back()), -1);
  }
  for (const float value : tables[0].rows(5, 6).span<float>()) EXPECT_EQ(value, 0.0f);
}

TEST_P(PointwiseTest, AddWorksInPlaceAndOnStridedRows) {
  const Device device(2, false, GetParam());
  const Tensor wide = random_matrix(random_, DType::kF32, 5, 9);
  const Tensor b = random_matrix(random_, DType::kF32, 5, 4);
  const std::vector<float> before(wide.span<float>().begin(), wide.span<float>().end());
  const Tensor cut = wide.columns(3, 7);
  kernels::add(device, cut.view(), b.view(), cut.view());
  for (int64_t i = 0; i < 45; ++i) {
    const int64_t row = i / 9, c = i % 9;
    const float added = c >= 3 && c < 7 ? b.data<float>()[row * 4 + c - 3] : 0.0f;
    EXPECT_EQ(wide.data<float>()[i], before[i] + added);
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, PointwiseTest, ::testing::ValuesIn(kCpuLevels),
                         [](const auto& param) { return cpu_level_name(param.param); });

}  // namespace
}  // namespace minke
