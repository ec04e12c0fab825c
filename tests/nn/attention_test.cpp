// Goal: the cache changes nothing: a row attends to the same keys, with the same bits, whether its
// sequence comes whole or in chunks beside another sequence. Method: both ways, compared bit by
// bit.
#include "minke/nn/attention.h"

#include <gtest/gtest.h>

#include "minke/base/random.h"

namespace minke {
namespace {

constexpr ops::AttentionShape kShape{.num_heads = 6, .num_kv_heads = 2, .head_dim = 16};
constexpr int64_t kLayer = 1;

// Rows of one sequence as the projections give them.
struct Rows {
  Tensor q, k, v;

  static Rows random(int64_t size, Random& random) {
    const auto fill = [&](int64_t heads) {
      const Tensor x = Tensor::zeros(DType::kF32, {size, heads * kShape.head_dim});
      for (float& value : x.span<float>()) value = static_cast<float>(random.normal());
      return x;
    };
    return {fill(kShape.num_heads), fill(kShape.num_kv_heads), fill(kShape.num_kv_heads)};
  }
  Rows slice(int64_t begin, int64_t end) const {
    return {q.rows(begin, end), k.rows(begin, end), v.rows(begin, end)};
  }
};

// The rows of several sequences under one another.
Tensor stacked(const Tensor& above, const Tensor& below) {
  const Tensor all = Tensor::zeros(DType::kF32, {above.size(0) + below.size(0), above.size(1)});
  std::copy_n(above.data<float>(), above.num_elements(), all.data<float>());
  std::copy_n(below.data<float>(), below.num_elements(), all.data<float>() + above.num_elements());
  return all;
}

class AttentionCacheTest : public ::testing::Test {
 protected:
  AttentionCacheTest() {
    kv_.pages = {nullptr, DType::kF32, kShape.num_kv_heads, kShape.head_dim, kLayer + 1};
    memory_ = Tensor::zeros(DType::kI8, {kPages, kv_.pages.page_bytes()});
    kv_.pages.data = memory_.view().data;
  }

  // The outputs of rows [from, to) of both sequences in one batch. Pages lie in no order.
  Tensor chunk(const Rows& a, const Rows& b, int64_t from, int64_t to) {
    const Rows x = a.slice(from, to), y = b.slice(from, to);
    kv_.segments = {{0, to - from, from, kTableA}, {to - from, to - from, from, kTableB}};
    return attention({device_}, stacked(x.q, y.q), stacked(x.k, y.k), stacked(x.v, y.v), kShape,
                     kv_, kLayer);
  }

  static constexpr int64_t kPages = 8;
  static constexpr int32_t kTableA[] = {5, 0, 7};
  static constexpr int32_t kTableB[] = {2, 6, 1};
  Device device_{2, false, CpuLevel::kRef};
  Random random_{3};
  Tensor memory_;
  KvView kv_;
};

TEST_F(AttentionCacheTest, ChunksInABatchGiveTheBitsOfTheWholeSequence) {
  constexpr int64_t kSize = 150;  // three pages, the last one partly filled
  const Rows a = Rows::random(kSize, random_), b = Rows::random(kSize, random_);
  ops::AttentionShape whole = kShape;
  whole.seq_len = kSize;
  const Tensor want_a = attention({device_}, a.q, a.k, a.v, whole, {}, 0);
  const Tensor want_b = attention({device_}, b.q, b.k, b.v, whole, {}, 0);
  const int64_t width = a.q.size(1);
  int64_t from = 0;
  for (const int64_t to : {1, 2, 63, 64, 65, 130, 150}) {
    const Tensor got = chunk(a, b, from, to);
    for (int64_t i = 0; i < (to - from) * width; ++i) {
      ASSERT_EQ(got.data<float>()[i], want_a.data<float>()[from * width + i]) << from << " " << i;
      ASSERT_EQ(got.data<float>()[(to - from) * width + i], want_b.data<float>()[from * width + i])
          << from << " " << i;
    }
    from = to;
  }
}

}  // namespace
}  // namespace minke
