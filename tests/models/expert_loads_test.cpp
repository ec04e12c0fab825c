// Goal: each row that a gate sends to an expert is counted once, in its layer. Method: a small
// DeepSeek with an MTP module; totals known from the number of rows, and the same text in one chunk
// and token by token.
#include "minke/models/expert_loads.h"

#include <gtest/gtest.h>

#include "tests/models/cached_logits.h"
#include "tests/models/tiny_deepseek.h"

namespace minke {
namespace {

constexpr int64_t kTopK = 2, kExperts = 4;  // of TinyDeepSeek

TEST(ExpertLoads, CountTheRowsOfEachLayerWhateverTheChunks) {
  TinyDeepSeekShape shape;
  shape.layers = 4;  // the first one has no experts
  shape.noise = 0.5;
  const std::vector<int32_t> ids = {5, 80, 3, 3, 116, 0, 41, 77, 9, 12, 63};
  std::vector<LayerLoads> whole;
  for (const size_t chunk : {64, 3, 1}) {
    const auto tiny = TinyDeepSeek::make(shape, {Precision::kF32, 0, {}, 1}, 2);
    for (const LayerLoads& before : expert_loads(*tiny.model)) EXPECT_EQ(before.total(), 0);
    cached_logits(*tiny.device, *tiny.model, ids, chunk, DType::kF32);
    const std::vector<LayerLoads> loads = expert_loads(*tiny.model);
    ASSERT_EQ(loads.size(), 4u);
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(loads[i].layer, static_cast<int64_t>(i) + 1);
      ASSERT_EQ(loads[i].rows.size(), static_cast<size_t>(kExperts));
      const bool is_module = i == 3;  // which did not run
      EXPECT_EQ(loads[i].total(), is_module ? 0 : kTopK * static_cast<int64_t>(ids.size()));
      EXPECT_LE(loads[i].max(), static_cast<int64_t>(ids.size())) << "a row chooses it twice";
      if (whole.empty()) continue;
      EXPECT_EQ(loads[i].rows, whole[i].rows) << i << ", chunks of " << chunk;
    }
    if (whole.empty()) whole = loads;
    // They go on from there.
    cached_logits(*tiny.device, *tiny.model, ids, 64, DType::kF32);
    EXPECT_EQ(expert_loads(*tiny.model)[0].total(), 2 * loads[0].total());
  }
}

TEST(ExpertLoads, AreNoneInAModelWithoutExperts) {
  const auto tiny = TinyLlama::make({}, Precision::kF32, 1, supported_levels().front());
  EXPECT_TRUE(expert_loads(*tiny.model).empty());
}

TEST(ExpertLoads, SayHowUnevenTheyAre) {
  const LayerLoads uneven{3, {0, 6, 1, 0, 5}};
  EXPECT_EQ(uneven.total(), 12);
  EXPECT_EQ(uneven.min(), 0);
  EXPECT_EQ(uneven.max(), 6);
  EXPECT_DOUBLE_EQ(uneven.mean(), 2.4);
  EXPECT_DOUBLE_EQ(uneven.max_violation(), 1.5);
  EXPECT_EQ(uneven.num_unused(), 2);
  EXPECT_DOUBLE_EQ((LayerLoads{0, {7, 7}}).max_violation(), 0.0);
  EXPECT_DOUBLE_EQ((LayerLoads{0, {0, 0}}).max_violation(), 0.0) << "before the first row";
}

}  // namespace
}  // namespace minke
