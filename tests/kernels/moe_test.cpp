// Goal: the gate chooses what DeepSeek's choose. Method: the choices of a plain sort, over random
// scores with groups, biases and ties.
#include "minke/kernels/moe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/kernels/matrices.h"

namespace minke {
namespace {

// Indices by value, the best first, of equal ones the lower.
std::vector<int> sorted_by(const std::vector<double>& values) {
  std::vector<int> order(values.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return values[a] > values[b]; });
  return order;
}

TEST(Route, ChoosesTheBestExpertsOfTheBestGroups) {
  Random random(9);
  const Device device(2, false, CpuLevel::kRef);
  for (int turn = 0; turn < 60; ++turn) {
    kernels::RouteArgs args;
    args.num_groups = 1 + static_cast<int64_t>(random.below(4));
    args.groups_kept = 1 + static_cast<int64_t>(random.below(args.num_groups));
    const int64_t size = 2 + static_cast<int64_t>(random.below(4));
    const int64_t experts = args.num_groups * size;
    args.top_k = 1 + static_cast<int64_t>(random.below(args.groups_kept * size));
    args.sigmoid = args.two_best_of_group = turn % 2 == 0;
    args.normalizes = turn % 3 == 0;
    args.scale = 1.5;
    std::vector<float> bias(experts);
    // Far below zero: an expert of a group that is not kept must not come in at 0.
    for (float& value : bias) value = static_cast<float>(random.normal()) - 3.0f;
    if (args.sigmoid) args.bias = bias.data();
    const Tensor logits = random_matrix(random, DType::kF32, 5, experts);
    std::vector<int32_t> ids(5 * args.top_k);
    const Tensor weights = Tensor::zeros(DType::kF32, {5, args.top_k});
    kernels::route(device, logits.view(), args, ids.data(), weights.view());
    for (int64_t row = 0; row < 5; ++row) {
      std::vector<double> scores(experts), choices(experts), groups(args.num_groups);
      double total = 0.0;
      for (int64_t i = 0; i < experts; ++i) {
        total += std::exp(static_cast<double>(logits.view().row<float>(row)[i]));
      }
      for (int64_t i = 0; i < experts; ++i) {
        const double logit = static_cast<double>(logits.view().row<float>(row)[i]);
        scores[i] = args.sigmoid ? 1.0 / (1.0 + std::exp(-logit)) : std::exp(logit) / total;
        choices[i] = scores[i] + (args.sigmoid ? static_cast<double>(bias[i]) : 0.0);
      }
      for (int64_t g = 0; g < args.num_groups; ++g) {
        std::vector<double> best(choices.begin() + g * size, choices.begin() + (g + 1) * size);
        std::sort(best.rbegin(), best.rend());
        groups[g] = args.sigmoid ? best[0] + best[1] : best[0];
      }
      const std::vector<int> group_order = sorted_by(groups);
      for (int64_t g = args.groups_kept; g < args.num_groups; ++g) {
        for (int64_t i = 0; i < size; ++i) choices[group_order[g] * size + i] = -1e30;
      }
      const std::vector<int> order = sorted_by(choices);
      double sum = 1e-20;
      for (int64_t k = 0; k < args.top_k; ++k) sum += scores[order[k]];
      for (int64_t k = 0; k < args.top_k; ++k) {
        ASSERT_EQ(ids[row * args.top_k + k], order[k]) << turn;
        const double weight = scores[order[k]] / (args.normalizes ? sum : 1.0) * 1.5;
        ASSERT_NEAR(weights.view().row<float>(row)[k], weight, 1e-5);
      }
    }
  }
}

TEST(Route, TiesGoToTheLowerExpert) {
  const Device device(1, false, CpuLevel::kRef);
  const Tensor logits = Tensor::zeros(DType::kF32, {1, 6});
  kernels::RouteArgs args;
  args.top_k = 3;
  std::vector<int32_t> ids(3);
  const Tensor weights = Tensor::zeros(DType::kF32, {1, 3});
  kernels::route(device, logits.view(), args, ids.data(), weights.view());
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 1, 2}));
}

}  // namespace
}  // namespace minke
