// Goal: log-probabilities belong to the right tokens, however long the window is. Method: a model
// whose logits are a known function of token and position, which also checks what it is asked.
#include "minke/eval/scoring.h"

#include <gtest/gtest.h>

#include <cmath>

#include "minke/autograd/context.h"
#include "minke/kernels/panel.h"
#include "tests/eval/tiny_config.h"

namespace minke {
namespace {

constexpr int kVocab = 11;

float logit_of(int32_t token, int32_t position, int32_t next) {
  return static_cast<float>(std::sin(token * 1.7 + position * 0.3 + next * 2.9));
}

// Predicts from token and position only; insists on batches that a cache can be used with.
class TableModel final : public Model {
 public:
  TableModel() : Model(tiny_config(kVocab)) {}
  Tensor forward(const Context& context, const ForwardBatch& batch, Tensor*) const override {
    const auto rows = static_cast<int64_t>(batch.tokens.size());
    EXPECT_TRUE(batch.kv.cached());
    EXPECT_EQ(batch.kv.segments.size(), 1u);
    const kernels::AttentionSegment& segment = batch.kv.segments[0];
    EXPECT_EQ(segment.num_rows, rows);
    EXPECT_EQ(segment.position, batch.positions[0]);
    EXPECT_EQ(segment.position, next_position) << "a chunk is missing";
    next_position = segment.position + rows;
    const Tensor logits = context.empty(DType::kF32, {rows, kVocab});
    for (int64_t row = 0; row < rows; ++row) {
      for (int32_t next = 0; next < kVocab; ++next) {
        logits.view().row<float>(row)[next] =
            logit_of(batch.tokens[row], batch.positions[row], next);
      }
    }
    return logits;
  }
  mutable int64_t next_position = 0;
};

std::vector<int32_t> some_ids(int n) {
  std::vector<int32_t> ids;
  for (int i = 0; i < n; ++i) ids.push_back((i * 7 + i / 3) % kVocab);
  return ids;
}

TEST(Scorer, GivesTheLogProbabilityOfEachNextToken) {
  const auto device = Device::create({.num_threads = 2, .pin_threads = false, .kernels = {}});
  ASSERT_TRUE(device);
  for (const int length : {2, 3, 128, 129, 130, 400}) {
    const TableModel model;
    auto scorer = Scorer::create(**device, model, DType::kF16, length);
    ASSERT_TRUE(scorer);
    const std::vector<int32_t> ids = some_ids(length);
    const auto scores = scorer->score(ids);
    ASSERT_TRUE(scores);
    ASSERT_EQ(scores->size(), ids.size() - 1);
    EXPECT_EQ(model.next_position, length - 1) << "the last token need not be run";
    for (int i = 1; i < length; ++i) {
      double sum = 0;
      for (int32_t next = 0; next < kVocab; ++next) {
        sum += std::exp(static_cast<double>(logit_of(ids[i - 1], i - 1, next)));
      }
      const double expected = logit_of(ids[i - 1], i - 1, ids[i]) - std::log(sum);
      ASSERT_NEAR((*scores)[i - 1], expected, 1e-5) << length << " at " << i;
    }
  }
}

TEST(Scorer, RefusesWhatTheModelCannotTake) {
  const auto device = Device::create({.num_threads = 1, .pin_threads = false, .kernels = {}});
  ASSERT_TRUE(device);
  const TableModel model;
  EXPECT_EQ(Scorer::create(**device, model, DType::kF32, 601).error().code, ErrorCode::kWillNotFit);
  auto scorer = Scorer::create(**device, model, DType::kF32, 4);
  ASSERT_TRUE(scorer);
  EXPECT_EQ(scorer->score(some_ids(5)).error().code, ErrorCode::kUsage);
  EXPECT_EQ(scorer->score(std::vector<int32_t>{0, kVocab}).error().code, ErrorCode::kUsage);
  EXPECT_EQ(scorer->score(std::vector<int32_t>{-1, 0}).error().code, ErrorCode::kUsage);
}

}  // namespace
}  // namespace minke
