// Goal: AdamW and clipping follow their formulas on any layout and number of threads. Method: the
// formula in f64, worked out element by element, over several steps.
#include "minke/train/adamw.h"

#include <gtest/gtest.h>

#include <cmath>

#include "minke/base/random.h"
#include "minke/train/gradient_norm.h"

namespace minke {
namespace {

Tensor random_tensor(Random& random, int64_t count, double scale = 1.0) {
  const Tensor x = Tensor::zeros(DType::kF32, {count});
  for (float& value : x.span<float>()) value = static_cast<float>(scale * random.normal());
  return x;
}

TEST(AdamWTest, FollowsTheFormulaOverSeveralSteps) {
  const Device device(2, false, CpuLevel::kRef);
  Random random(1);
  const AdamWConfig config{.beta1 = 0.8, .beta2 = 0.95, .epsilon = 1e-6, .weight_decay = 0.2};
  for (const bool decays : {true, false}) {
    AdamW optimizer(config);
    const Tensor weight = random_tensor(random, 70001);
    std::vector<double> w(weight.span<float>().begin(), weight.span<float>().end());
    std::vector<double> m(w.size()), v(w.size());
    for (int t = 1; t <= 4; ++t) {
      const double rate = 0.01 * t;
      const TrainedTensor trained{weight, random_tensor(random, 70001), decays};
      optimizer.step(device, {&trained, 1}, {rate});
      for (size_t i = 0; i < w.size(); ++i) {
        const double g = trained.gradient.data<float>()[i];
        if (decays) w[i] -= rate * config.weight_decay * w[i];
        m[i] = config.beta1 * m[i] + (1 - config.beta1) * g;
        v[i] = config.beta2 * v[i] + (1 - config.beta2) * g * g;
        w[i] -= rate * (m[i] / (1 - std::pow(config.beta1, t))) /
                (std::sqrt(v[i] / (1 - std::pow(config.beta2, t))) + config.epsilon);
      }
    }
    for (size_t i = 0; i < w.size(); ++i) {
      ASSERT_NEAR(weight.data<float>()[i], w[i], 2e-6 * (1 + std::fabs(w[i]))) << i;
    }
    EXPECT_EQ(optimizer.num_steps(), 4);
  }
}

TEST(AdamWTest, ZeroPaddingAndTensorsWithoutGradientStayAsTheyAre) {
  const Device device(1, false, CpuLevel::kRef);
  Random random(2);
  const Tensor still = random_tensor(random, 5);
  const std::vector<float> before(still.span<float>().begin(), still.span<float>().end());
  const TrainedTensor tensors[] = {
      {Tensor::zeros(DType::kF32, {64}), Tensor::zeros(DType::kF32, {64}), true},
      {still, Tensor(), true}};
  AdamW optimizer({});
  for (int step = 0; step < 3; ++step) optimizer.step(device, tensors, {0.1});
  for (const float value : tensors[0].weight.span<float>()) EXPECT_EQ(value, 0.0f);
  EXPECT_TRUE(std::equal(before.begin(), before.end(), still.span<float>().begin()));
}

TEST(ClipGradientNormTest, ScalesAllTensorsByOneFactorAndReturnsTheNormBefore) {
  const Device device(2, false, CpuLevel::kRef);
  Random random(3);
  const TrainedTensor tensors[] = {
      {Tensor::zeros(DType::kF32, {40000}), random_tensor(random, 40000), true},
      {Tensor::zeros(DType::kF32, {7}), random_tensor(random, 7), false},
      {Tensor::zeros(DType::kF32, {7}), Tensor(), false}};
  double squares = 0.0;
  for (int i = 0; i < 2; ++i) {
    for (const float g : tensors[i].gradient.span<float>()) squares += double{g} * g;
  }
  const float before = tensors[1].gradient.data<float>()[3];
  const double norm = std::sqrt(squares);
  EXPECT_NEAR(clip_gradient_norm(device, tensors, 2.0), norm, 1e-9 * norm);
  EXPECT_NEAR(tensors[1].gradient.data<float>()[3], before * 2.0 / (norm + 1e-6), 1e-6);
  EXPECT_NEAR(gradient_norm(device, tensors), 2.0, 1e-5);
  const float clipped = tensors[1].gradient.data<float>()[3];
  clip_gradient_norm(device, tensors, 3.0);
  EXPECT_EQ(tensors[1].gradient.data<float>()[3], clipped) << "a small norm must change nothing";
}

TEST(ClipGradientNormTest, NormHasTheSameBitsForAnyNumberOfThreads) {
  Random random(4);
  const TrainedTensor tensor{Tensor::zeros(DType::kF32, {200003}), random_tensor(random, 200003),
                             true};
  const double one = gradient_norm(Device(1, false, CpuLevel::kRef), {&tensor, 1});
  EXPECT_EQ(one, gradient_norm(Device(2, false, CpuLevel::kRef), {&tensor, 1}));
  EXPECT_EQ(one, gradient_norm(Device(3, false, CpuLevel::kRef), {&tensor, 1}));
}

TEST(ClipGradientNormTest, NotANumberIsNotHidden) {
  const Device device(1, false, CpuLevel::kRef);
  const TrainedTensor tensor{Tensor::zeros(DType::kF32, {3}), Tensor::zeros(DType::kF32, {3}),
                             true};
  tensor.gradient.data<float>()[1] = NAN;
  EXPECT_TRUE(std::isnan(clip_gradient_norm(device, {&tensor, 1}, 1.0)));
  EXPECT_TRUE(std::isnan(tensor.gradient.data<float>()[0]));
}

}  // namespace
}  // namespace minke
