// Goal: what an optimizer remembers survives a restart to the bit, and a state that does not fit is
// refused. Method: 3 + 3 steps with a save between them against 6 steps, for each optimizer.
#include <gtest/gtest.h>

#include <cstring>

#include "minke/base/random.h"
#include "minke/train/optimizer.h"

namespace minke {
namespace {

using MakeOptimizer = std::unique_ptr<Optimizer> (*)();

struct Case {
  const char* name;
  MakeOptimizer make;
};

class OptimizerStateTest : public testing::TestWithParam<Case> {};

// Two matrices of 32 and 16 rows in one weight, a vector, and a tensor whose gradient never comes.
struct Weights {
  std::vector<TrainedTensor> tensors;
  Weights() {
    const auto add = [&](const char* name, int64_t count) {
      tensors.push_back({Tensor::zeros(DType::kF32, {count}), {}, true, name});
      Random random(tensors.size());
      for (float& value : tensors.back().weight.span<float>()) {
        value = static_cast<float>(random.normal());
      }
    };
    add("joined", 48 * 20);
    tensors[0].matrix_rows = {32, 16};
    tensors[0].cols = 20;
    add("vector", 37);
    add("still", 5);
  }
  void set_gradients(int step) {
    for (size_t i = 0; i < 2; ++i) {
      tensors[i].gradient = Tensor::zeros(DType::kF32, tensors[i].weight.shape());
      Random random(100 * static_cast<uint64_t>(step) + i);
      for (float& value : tensors[i].gradient.span<float>()) {
        value = static_cast<float>(random.normal());
      }
    }
  }
  void train(const Device& device, Optimizer& optimizer, int begin, int end) {
    for (int step = begin; step < end; ++step) {
      set_gradients(step);
      optimizer.step(device, tensors, {.learning_rate = 0.01, .gradient_scale = 0.7});
    }
  }
};

void expect_same_bits(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.num_elements(), b.num_elements());
  const auto bytes = static_cast<size_t>(dtype_bytes(a.dtype(), a.num_elements()));
  EXPECT_EQ(std::memcmp(a.view().data, b.view().data, bytes), 0);
}

TEST_P(OptimizerStateTest, TrainingGoesOnFromASavedStateToTheBit) {
  const Device one(1, false, CpuLevel::kRef), two(2, false, CpuLevel::kRef);
  Weights straight, resumed;
  const auto uninterrupted = GetParam().make(), before = GetParam().make();
  straight.train(one, *uninterrupted, 0, 6);
  resumed.train(two, *before, 0, 3);

  const auto after = GetParam().make();
  const Result<void> loaded = after->load_state(resumed.tensors, before->state());
  ASSERT_TRUE(loaded) << loaded.error().message;
  resumed.train(two, *after, 3, 6);

  EXPECT_EQ(after->num_steps(), 6);
  for (size_t i = 0; i < straight.tensors.size(); ++i) {
    expect_same_bits(straight.tensors[i].weight, resumed.tensors[i].weight);
  }
  const OptimizerState a = uninterrupted->state(), b = after->state();
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  uint64_t bytes = 0;
  for (size_t i = 0; i < a.tensors.size(); ++i) {
    EXPECT_EQ(a.tensors[i].name, b.tensors[i].name);
    expect_same_bits(a.tensors[i].value, b.tensors[i].value);
    bytes += dtype_bytes(a.tensors[i].value.dtype(), a.tensors[i].value.num_elements());
  }
  EXPECT_EQ(after->state_bytes(resumed.tensors), bytes);
}

TEST_P(OptimizerStateTest, AStateThatDoesNotFitIsRefusedAndChangesNothing) {
  const Device device(1, false, CpuLevel::kRef);
  Weights weights;
  const auto optimizer = GetParam().make();
  weights.train(device, *optimizer, 0, 2);
  OptimizerState missing = optimizer->state(), misshapen = optimizer->state();
  missing.tensors.pop_back();
  misshapen.tensors[0].value = Tensor::zeros(misshapen.tensors[0].value.dtype(), {3});

  const Result<void> first = optimizer->load_state(weights.tensors, missing);
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(first.error().message.find("has no '"), std::string::npos) << first.error().message;
  const Result<void> second = optimizer->load_state(weights.tensors, misshapen);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("[3] when it should be"), std::string::npos)
      << second.error().message;

  EXPECT_EQ(optimizer->num_steps(), 2);
  Weights straight;
  const auto untouched = GetParam().make();
  straight.train(device, *untouched, 0, 3);
  weights.train(device, *optimizer, 2, 3);
  expect_same_bits(straight.tensors[0].weight, weights.tensors[0].weight);
}

TEST_P(OptimizerStateTest, AStateOfNoStepsIsABeginning) {
  const Device device(1, false, CpuLevel::kRef);
  Weights weights, straight;
  const auto fresh = GetParam().make(), loaded = GetParam().make();
  ASSERT_TRUE(loaded->load_state(weights.tensors, fresh->state()));
  weights.train(device, *loaded, 0, 1);
  straight.train(device, *fresh, 0, 1);
  expect_same_bits(straight.tensors[0].weight, weights.tensors[0].weight);
}

INSTANTIATE_TEST_SUITE_P(
    All, OptimizerStateTest,
    testing::Values(Case{"adamw", [] { return make_adamw({}); }},
                    Case{"muon", [] { return make_muon({}); }},
                    Case{"adamw_bf16", [] { return make_adamw({.moments = DType::kBf16}); }}),
    [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace minke
