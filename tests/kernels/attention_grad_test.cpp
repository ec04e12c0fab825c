// Goal: the gradients of attention in f32 are those in f64 at every level of instructions, for
// heads that fill vectors and heads that do not, with bits that depend neither on the threads nor
// on the other sequences. Method: the reference in f64, which tests/ops checks by finite
// differences.
#include <gtest/gtest.h>

#include <numeric>

#include "minke/kernels/attention.h"
#include "tests/kernels/matrices.h"

namespace minke {
namespace {

class AttentionGradTest : public ::testing::TestWithParam<CpuLevel> {
 protected:
  void SetUp() override {
    if (!cpu_level_supported(GetParam())) GTEST_SKIP() << "not on this CPU";
  }
};

constexpr double kScale = 0.3;

struct GradCase {
  int64_t num_heads, num_kv_heads, head_dim, value_dim;
  std::vector<int64_t> lengths;
};

struct Gradients {
  Tensor q, k, v, d_out, dq, dk, dv;
};

Gradients random_gradients(Random& random, const GradCase& grad_case) {
  const auto& [num_heads, num_kv_heads, head_dim, value_dim, lengths] = grad_case;
  const int64_t n = std::accumulate(lengths.begin(), lengths.end(), int64_t{0});
  const auto matrix = [&](int64_t cols, double scale = 1.0) {
    return random_matrix(random, DType::kF32, n, cols, scale);
  };
  const int64_t q_cols = num_heads * head_dim, k_cols = num_kv_heads * head_dim;
  const int64_t v_cols = num_kv_heads * value_dim;
  return {matrix(q_cols, 2.0), matrix(k_cols), matrix(v_cols), matrix(num_heads * value_dim),
          matrix(q_cols),      matrix(k_cols), matrix(v_cols)};  // the last three overwritten
}

void run_grad(const Device& device, const Gradients& g, const GradCase& grad_case) {
  std::vector<kernels::AttentionSegment> sequences;
  int64_t row = 0;
  for (const int64_t length : grad_case.lengths) {
    sequences.push_back({row, length, 0, nullptr});
    row += length;
  }
  kernels::attention_grad(
      device,
      {g.q.view(), g.k.view(), g.v.view(), g.d_out.view(), g.dq.view(), g.dk.view(), g.dv.view(),
       grad_case.num_heads, grad_case.num_kv_heads, kScale},
      sequences);
}

const GradCase kGradCases[] = {{9, 3, 16, 16, {1, 7, 33}},  {4, 2, 10, 10, {33, 1}},
                               {3, 3, 48, 32, {90, 64, 5}}, {4, 1, 16, 64, {131}},
                               {2, 1, 192, 128, {17, 70}},  {2, 2, 256, 16, {65}}};

TEST_P(AttentionGradTest, FloatGradientsEqualThoseInDouble) {
  const Device device(2, false, GetParam());
  Random random(32);
  for (const GradCase& grad_case : kGradCases) {
    const Gradients g = random_gradients(random, grad_case);
    const Gradients g64{to_f64(g.q),  to_f64(g.k),  to_f64(g.v), to_f64(g.d_out),
                        to_f64(g.dq), to_f64(g.dk), to_f64(g.dv)};
    run_grad(device, g, grad_case);
    run_grad(device, g64, grad_case);
    const Tensor* pairs[][2] = {{&g.dq, &g64.dq}, {&g.dk, &g64.dk}, {&g.dv, &g64.dv}};
    for (const auto& [found, expected] : pairs) {
      for (int64_t i = 0; i < found->num_elements(); ++i) {
        const double exact = expected->data<double>()[i];
        ASSERT_NEAR(found->data<float>()[i], exact, 2e-4 * (1.0 + std::fabs(exact)))
            << grad_case.head_dim << " " << i;
      }
    }
  }
}

TEST_P(AttentionGradTest, ThreadsAndOtherSequencesDoNotChangeABit) {
  Random random(33);
  for (const int64_t head_dim : {12, 32}) {
    const GradCase grad_case{6, 3, head_dim, head_dim, {101, 30}};
    const Gradients first = random_gradients(random, grad_case);
    run_grad(Device(1, false, GetParam()), first, grad_case);
    const auto expect_same = [](const Tensor& a, const Tensor& b) {
      EXPECT_EQ(first_difference(a, b), -1);
    };
    for (const int num_threads : {2, 3}) {
      Gradients g = first;
      for (Tensor* grad : {&g.dq, &g.dk, &g.dv}) *grad = Tensor::zeros(DType::kF32, grad->shape());
      run_grad(Device(num_threads, false, GetParam()), g, grad_case);
      expect_same(g.dq, first.dq);
      expect_same(g.dk, first.dk);
      expect_same(g.dv, first.dv);
    }
    const auto second = [](const Tensor& x) { return x.rows(101, 131); };
    Gradients alone{
        second(first.q), second(first.k), second(first.v), second(first.d_out), {}, {}, {}};
    alone.dq = Tensor::zeros(DType::kF32, alone.q.shape());
    alone.dk = Tensor::zeros(DType::kF32, alone.k.shape());
    alone.dv = Tensor::zeros(DType::kF32, alone.v.shape());
    run_grad(Device(2, false, GetParam()), alone, {6, 3, head_dim, head_dim, {30}});
    expect_same(alone.dq, second(first.dq));
    expect_same(alone.dk, second(first.dk));
    expect_same(alone.dv, second(first.dv));
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, AttentionGradTest, ::testing::ValuesIn(kCpuLevels),
                         [](const auto& param) { return cpu_level_name(param.param); });

}  // namespace
}  // namespace minke
