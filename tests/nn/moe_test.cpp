// Goal: the loads are those of the experts that the gate chose. Method: a gate that gives its input
// as logits, and rows that name their experts.
#include "minke/nn/moe.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

TEST(Moe, CountsTheRowsOfEachExpertThatTheGateChose) {
  constexpr int64_t kExperts = 5, kRows = 4;
  const Device device(2, false, CpuLevel::kRef);
  std::vector<float> identity(kExperts * kExperts, 0.0f);
  for (int64_t i = 0; i < kExperts; ++i) identity[i * kExperts + i] = 1.0f;
  const Parameter gate = packed_parameter(device, DType::kF32, kExperts, kExperts, identity);
  const std::vector<float> ones(2 * kExperts * kExperts, 0.1f);
  const Parameter up = packed_parameter(device, DType::kF32, 2 * kExperts, kExperts, ones);
  Moe moe;
  moe.gate = Linear({&gate}, Precision::kF32);
  for (int64_t i = 0; i < kExperts; ++i) {
    moe.experts.push_back({Linear({&up}, Precision::kF32), Linear({&gate}, Precision::kF32)});
  }
  moe.routing.top_k = 2;
  moe.loads = ExpertLoads(kExperts);
  const Tensor x = Tensor::zeros(DType::kF32, {kRows, kExperts});
  const int64_t chosen[kRows][2] = {{0, 3}, {3, 4}, {3, 0}, {4, 3}};
  for (int64_t row = 0; row < kRows; ++row) {
    for (const int64_t expert : chosen[row]) x.data<float>()[row * kExperts + expert] = 9.0f;
  }
  EXPECT_EQ(moe.loads.rows(), std::vector<int64_t>(kExperts, 0));
  moe.forward({device}, x);
  EXPECT_EQ(moe.loads.rows(), (std::vector<int64_t>{2, 0, 0, 4, 2}));
  moe.forward({device}, x.rows(1, 2));
  EXPECT_EQ(moe.loads.rows(), (std::vector<int64_t>{2, 0, 0, 5, 3}));
}

}  // namespace
}  // namespace minke
