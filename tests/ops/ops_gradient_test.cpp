// Goal: every op's backward is the derivative of its forward. Method: central differences in f64 of
// a scalar made from the op's output with fixed random weights, on odd shapes.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "minke/autograd/gradcheck.h"
#include "minke/base/random.h"
#include "minke/ops/ops.h"

namespace minke {
namespace {

class OpsGradient : public ::testing::Test {
 protected:
  Device device_{1, false, CpuLevel::kRef};  // two-row kernels: a second thread would only wait
  Random random_{42};

  Tensor random(const Shape& shape, double scale = 1.0) {
    const Tensor x = Tensor::zeros(DType::kF64, shape);
    for (double& value : x.span<double>()) value = scale * random_.normal();
    return x;
  }
  // A weight [rows, cols] packed from random numbers (so its padding is zero).
  ops::Weight random_weight(int64_t rows, int64_t cols) {
    const Tensor plain = random({rows, cols}, 0.5);
    ops::Weight weight{
        Tensor::zeros(DType::kF64, {kernels::packed_bytes(DType::kF64, rows, cols) / 8}),
        DType::kF64, rows, cols};
    kernels::pack(device_, plain.view().data, DType::kF64, rows, cols, weight.storage.view().data);
    return weight;
  }
};

ops::Weight with_storage(ops::Weight weight, const Tensor& storage) {
  weight.storage = storage;
  return weight;
}

// sum_i tanh-free and non-linear in y, so that each gradient differs: loss of y as logits against
// targets that walk through the columns.
Tensor scalar_of(const Context& context, const Tensor& y) {
  std::vector<int32_t> targets;
  for (int64_t i = 0; i < y.size(0); ++i)
    targets.push_back(static_cast<int32_t>(i * 3 % y.size(1)));
  return ops::cross_entropy(context, y, targets);
}

// sum of (i + 1) y_i^2: a scalar of a vector.
Tensor weighted_sum(const Context& context, const Tensor& y) {
  const Tensor sum = Tensor::zeros(DType::kF64, {1});
  for (int64_t i = 0; i < y.num_elements(); ++i) {
    *sum.data<double>() += static_cast<double>(i + 1) * y.data<double>()[i] * y.data<double>()[i];
  }
  if (!context.records(y)) return sum;
  return context.tape->record("weighted_sum", {y.var()}, sum, [y](const Tensor& d_sum) {
    const Tensor dy = Tensor::zeros(DType::kF64, y.shape());
    for (int64_t i = 0; i < y.num_elements(); ++i) {
      dy.data<double>()[i] =
          2.0 * static_cast<double>(i + 1) * y.data<double>()[i] * *d_sum.data<double>();
    }
    return std::vector<Tensor>{dy};
  });
}

TEST_F(OpsGradient, AddPassesTheGradientToBothEvenIfTheyAreOne) {
  const Tensor inputs[] = {random({7, 5}), random({7, 5})};
  const auto fn = [](const Context& c, std::span<const Tensor> x) {
    const Tensor sum = ops::add(c, x[0], x[1]);
    return scalar_of(c, ops::add(c, sum, ops::add(c, sum, x[0])));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, RmsNormOfOddShapes) {
  for (const Shape& shape : {Shape{1, 33}, Shape{7, 3}, Shape{33, 17}}) {
    const Tensor inputs[] = {random(shape), random({shape[1]})};
    const auto fn = [](const Context& c, std::span<const Tensor> x) {
      return scalar_of(c, ops::rms_norm(c, x[0], x[1], 1e-5));
    };
    EXPECT_EQ(gradcheck(device_, fn, inputs), "") << shape.text();
  }
}

TEST_F(OpsGradient, RmsNormOfHeads) {
  const Tensor inputs[] = {random({5, 21}), random({7})};
  const auto fn = [](const Context& c, std::span<const Tensor> x) {
    return scalar_of(c, ops::rms_norm(c, x[0], x[1], 1e-5));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, LayerNormWithAndWithoutBias) {
  for (const Shape& shape : {Shape{1, 33}, Shape{7, 3}, Shape{9, 17}}) {
    const Tensor inputs[] = {random(shape), random({shape[1]}), random({shape[1]})};
    const auto fn = [](const Context& c, std::span<const Tensor> x) {
      const Tensor bare = ops::layer_norm(c, x[0], x[1], {}, 1e-5);
      return scalar_of(c, ops::add(c, bare, ops::layer_norm(c, x[0], x[1], x[2], 1e-5)));
    };
    EXPECT_EQ(gradcheck(device_, fn, inputs), "") << shape.text();
  }
}

TEST_F(OpsGradient, GeluInBothForms) {
  for (const auto form : {kernels::GeluForm::kErf, kernels::GeluForm::kTanh}) {
    const Tensor inputs[] = {random({7, 22}, 2.0)};
    const auto fn = [&](const Context& c, std::span<const Tensor> x) {
      return scalar_of(c, ops::gelu(c, x[0], form));
    };
    EXPECT_EQ(gradcheck(device_, fn, inputs), "");
  }
}

TEST_F(OpsGradient, AddRowSumsOverRows) {
  const Tensor inputs[] = {random({7, 70}), random({70})};
  const auto fn = [](const Context& c, std::span<const Tensor> x) {
    return scalar_of(c, ops::add_row(c, x[0], x[1]));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, Swiglu) {
  const Tensor inputs[] = {random({7, 22}, 2.0)};
  const auto fn = [](const Context& c, std::span<const Tensor> x) {
    return scalar_of(c, ops::swiglu(c, x[0]));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, RopeInBothStyles) {
  const std::vector<int32_t> positions = {3, 0, 5, 1, 1};
  std::vector<float> table(6 * 8);
  for (int p = 0; p < 6; ++p) {
    for (int i = 0; i < 4; ++i) {
      table[p * 8 + i] = std::cos(p / std::pow(10.0f, i));
      table[p * 8 + 4 + i] = std::sin(p / std::pow(10.0f, i));
    }
  }
  for (const auto style : {kernels::RopeStyle::kInterleaved, kernels::RopeStyle::kHalf}) {
    for (const int64_t head_size : {8, 12}) {
      const kernels::RopeArgs args{positions.data(), table.data(), 8, style, false, head_size};
      const Tensor inputs[] = {random({5, 24})};
      const auto fn = [&](const Context& c, std::span<const Tensor> x) {
        return scalar_of(c, ops::rope(c, x[0], args));
      };
      // The table is f32, so turning back is exact to 1e-7 only.
      EXPECT_EQ(gradcheck(device_, fn, inputs), "");
    }
  }
}

TEST_F(OpsGradient, ColumnsScatterBackAndUnusedOnesGetZero) {
  const Tensor inputs[] = {random({7, 12})};
  const auto fn = [](const Context& c, std::span<const Tensor> x) {
    return scalar_of(c, ops::add(c, ops::columns(c, x[0], 1, 5), ops::columns(c, x[0], 3, 7)));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, ColumnsSideBySideGetTheirOwnPart) {
  const Tensor inputs[] = {random({7, 5}), random({7, 3})};
  const auto fn = [](const Context& c, std::span<const Tensor> x) {
    const Tensor both = ops::concat_columns(c, ops::columns(c, x[0], 1, 4), x[1]);  // [7, 6]
    return scalar_of(c, ops::concat_columns(c, both, x[0]));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, OpsReadStridedInputs) {
  const Tensor inputs[] = {random({7, 40}), random({16})};
  const ops::Weight weight = random_weight(5, 16);
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    const Tensor normed = ops::rms_norm(c, ops::columns(c, x[0], 3, 19), x[1], 1e-5);
    const Tensor gated = ops::swiglu(c, ops::columns(c, x[0], 4, 36));
    const Tensor sum = ops::add(c, normed, ops::columns(c, x[0], 24, 40));
    return scalar_of(c, ops::linear(c, ops::add(c, sum, gated), weight));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, LinearToInputAndWeight) {
  for (const auto& [n, rows, cols] : {std::array{1, 5, 3}, {7, 16, 33}, {33, 19, 40}}) {
    const ops::Weight weight = random_weight(rows, cols);
    const Tensor inputs[] = {random({n, cols}), weight.storage};
    const int64_t num_rows = rows;
    const auto fn = [&](const Context& c, std::span<const Tensor> x) {
      return scalar_of(c, ops::linear(c, x[0], with_storage(weight, x[1])));
    };
    EXPECT_EQ(gradcheck(device_, fn, inputs), "") << n << " " << num_rows << " " << cols;
  }
}

TEST_F(OpsGradient, EmbeddingSumsRepeatedIds) {
  const ops::Weight table = random_weight(18, 6);
  const std::vector<int32_t> ids = {17, 2, 2, 0, 17, 2, 9};
  const Tensor inputs[] = {table.storage};
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    return scalar_of(c, ops::embedding(c, with_storage(table, x[0]), ids));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, TiedTableGetsBothGradients) {
  const ops::Weight table = random_weight(18, 6);
  const std::vector<int32_t> ids = {17, 2, 2, 0, 17};
  const Tensor inputs[] = {table.storage};
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    const ops::Weight tied = with_storage(table, x[0]);
    return scalar_of(c, ops::linear(c, ops::embedding(c, tied, ids), tied));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, AttentionWithSharedHeadsAndSeveralSequences) {
  struct Case {
    int64_t num_heads, num_kv_heads, head_dim, seq_len, num_sequences;
  };
  for (const Case& test :
       {Case{9, 3, 4, 7, 2}, Case{4, 2, 6, 1, 3}, Case{4, 2, 2, 33, 1}, Case{1, 1, 2, 67, 1}}) {
    const int64_t n = test.seq_len * test.num_sequences;
    const Tensor inputs[] = {random({n, test.num_heads * test.head_dim}),
                             random({n, test.num_kv_heads * test.head_dim}),
                             random({n, test.num_kv_heads * test.head_dim})};
    const ops::AttentionShape shape{test.num_heads, test.num_kv_heads, test.head_dim, test.seq_len};
    const auto fn = [&](const Context& c, std::span<const Tensor> x) {
      return scalar_of(c, ops::attention(c, x[0], x[1], x[2], shape));
    };
    EXPECT_EQ(gradcheck(device_, fn, inputs), "") << test.num_heads << " heads, " << n << " rows";
  }
}

TEST_F(OpsGradient, AttentionOverSequencesOfDifferentLengths) {
  const int32_t lengths[] = {3, 1, 9, 6};
  const ops::AttentionShape shape{
      .num_heads = 4, .num_kv_heads = 2, .head_dim = 4, .value_dim = 3, .lengths = lengths};
  const Tensor inputs[] = {random({19, 16}), random({19, 8}), random({19, 6})};
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    return scalar_of(c, ops::attention(c, x[0], x[1], x[2], shape));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, AttentionWithValuesOfAnotherSize) {
  for (const int64_t value_dim : {3, 9}) {
    ops::AttentionShape shape{6, 2, 5, 8, value_dim, 0.7};
    const Tensor inputs[] = {random({16, 30}), random({16, 10}), random({16, 2 * value_dim})};
    const auto fn = [&](const Context& c, std::span<const Tensor> x) {
      return scalar_of(c, ops::attention(c, x[0], x[1], x[2], shape));
    };
    EXPECT_EQ(gradcheck(device_, fn, inputs), "") << value_dim;
  }
}

TEST_F(OpsGradient, MlaKeysAndValuesShareTheExpansion) {
  const kernels::MlaShape shape{3, 4, 2, 5};
  const Tensor inputs[] = {random({7, 27}), random({7, 2})};
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    const Tensor keys = ops::mla_keys(c, x[0], x[1], shape);  // [7, 18]
    const Tensor values = ops::mla_values(c, x[0], shape);    // [7, 15]
    return scalar_of(c, ops::add(c, ops::columns(c, keys, 0, 15), values));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, RowsGatheredAndCombined) {
  const std::vector<int32_t> rows = {2, 0, 2, 1, 1, 0}, slots = {5, 0, 3, 2, 4, 1};
  const Tensor inputs[] = {random({3, 9}), random({3, 2})};
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    return scalar_of(c, ops::combine_rows(c, ops::gather_rows(c, x[0], rows), slots, x[1]));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, GroupsOfRowsByMatricesOfTheirOwn) {
  // [16, 5] and [16, 5] packed: one panel each.
  const Tensor inputs[] = {random({4, 5}), random({80}), random({80})};
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    const std::vector<ops::Weight> weights = {{x[1], DType::kF64, 16, 5},
                                              {x[2], DType::kF64, 16, 5}};
    return scalar_of(c, ops::linear_grouped(c, x[0], weights, {3, 1}));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, RouteThroughTheWeightsOfEveryKindOfGate) {
  const float bias[12] = {0.1f, -0.3f, 0.2f, 0, 0.5f, 0, -0.1f, 0.3f, 0, 0.2f, -0.4f, 0};
  for (const bool sigmoid : {false, true}) {
    for (const bool normalizes : {false, true}) {
      kernels::RouteArgs args;
      args.top_k = 3;
      args.num_groups = 4;
      args.groups_kept = 2;
      args.sigmoid = args.two_best_of_group = sigmoid;
      args.normalizes = normalizes;
      args.scale = 2.5;
      if (sigmoid) args.bias = bias;
      const Tensor inputs[] = {random({7, 12})};
      const auto fn = [&](const Context& c, std::span<const Tensor> x) {
        return scalar_of(c, ops::route(c, x[0], args).weights);
      };
      EXPECT_EQ(gradcheck(device_, fn, inputs), "") << sigmoid << normalizes;
    }
  }
}

TEST_F(OpsGradient, AttentionReadsAFusedQkvMatrix) {
  const Tensor inputs[] = {random({10, 32})};
  const auto fn = [](const Context& c, std::span<const Tensor> x) {
    const Tensor q = ops::columns(c, x[0], 0, 16);
    const Tensor k = ops::columns(c, x[0], 16, 24);
    const Tensor v = ops::columns(c, x[0], 24, 32);
    return scalar_of(c, ops::attention(c, q, k, v, {4, 2, 4, 5}));
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, CrossEntropyIgnoresNegativeTargets) {
  const std::vector<int32_t> targets = {4, -1, 0, -100, 32};
  const Tensor inputs[] = {random({5, 33}, 3.0)};
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    return ops::cross_entropy(c, x[0], targets);
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, LossOfALinearMapOverADivisor) {
  const std::vector<int32_t> targets = {4, -1, 0, 17, 32};
  const ops::Weight weight = random_weight(33, 6);
  const Tensor inputs[] = {random({5, 6}), weight.storage};
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    return ops::linear_cross_entropy(c, x[0], with_storage(weight, x[1]), targets, 7.0);
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, LogProbsOfALinearMap) {
  const std::vector<int32_t> targets = {4, -1, 0, 17, 32};
  const ops::Weight weight = random_weight(33, 6);
  const Tensor inputs[] = {random({5, 6}), weight.storage};
  const auto fn = [&](const Context& c, std::span<const Tensor> x) {
    const Tensor values = ops::linear_log_probs(c, x[0], with_storage(weight, x[1]), targets);
    EXPECT_EQ(values.data<double>()[1], 0.0);
    return weighted_sum(c, values);
  };
  EXPECT_EQ(gradcheck(device_, fn, inputs), "");
}

TEST_F(OpsGradient, LossesInChunksHaveTheBitsOfAllRowsAtOnce) {
  const int64_t n = 600, vocab = 35, hidden = 20;
  const Device device(2, false, CpuLevel::kRef);
  const auto numbers = [](const Shape& shape) {
    const Tensor x = Tensor::zeros(DType::kF32, shape);
    for (int64_t i = 0; i < x.num_elements(); ++i) {
      x.data<float>()[i] = std::sin(static_cast<float>(i) * 0.7f);
    }
    return x;
  };
  const Tensor x = numbers({n, hidden});
  const ops::Weight weight{numbers({48 * hidden}), DType::kF32, vocab, hidden};
  std::vector<int32_t> targets;
  for (int32_t i = 0; i < n; ++i) targets.push_back(i % 7 == 0 ? -1 : i % 35);
  const auto gradients = [&](bool chunks, double seed) {
    Tape tape;
    const Context context{device, &tape};
    const Tensor x_leaf = tape.watch(x);
    const ops::Weight leaf = with_storage(weight, tape.watch(weight.storage));
    const Tensor y =
        chunks ? ops::linear_cross_entropy(context, x_leaf, leaf, targets, 64.0)
               : ops::cross_entropy(context, ops::linear(context, x_leaf, leaf), targets, 64.0);
    tape.backward(device, y, seed);
    return std::vector<Tensor>{y, tape.grad(x_leaf), tape.grad(leaf.storage)};
  };
  const auto all = gradients(false, 1.0), chunked = gradients(true, 1.0);
  const auto doubled = gradients(true, 2.0);
  for (size_t i = 0; i < all.size(); ++i) {
    const auto expected = all[i].span<float>();
    for (size_t k = 0; k < expected.size(); ++k) {
      ASSERT_EQ(chunked[i].data<float>()[k], expected[k]) << i;
      ASSERT_EQ(doubled[i].data<float>()[k], (i == 0 ? 1.0f : 2.0f) * expected[k]) << i;
    }
  }
}

TEST_F(OpsGradient, LogProbsInChunksHaveTheBitsOfAllRowsAtOnce) {
  std::vector<int32_t> targets;
  for (int32_t i = 0; i < 600; ++i) targets.push_back(i % 7 == 0 ? -1 : i % 33);
  const ops::Weight weight = random_weight(33, 6);
  const Tensor x = random({600, 6});
  const auto gradients = [&](bool chunks) {
    Tape tape;
    const Context context{device_, &tape};
    const Tensor x_leaf = tape.watch(x);
    const ops::Weight leaf = with_storage(weight, tape.watch(weight.storage));
    const Tensor values =
        chunks ? ops::linear_log_probs(context, x_leaf, leaf, targets)
               : ops::log_probs(context, ops::linear(context, x_leaf, leaf), targets);
    tape.backward(device_, weighted_sum(context, values));
    return std::vector<Tensor>{values, tape.grad(x_leaf), tape.grad(leaf.storage)};
  };
  const auto all = gradients(false), chunked = gradients(true);
  for (size_t i = 0; i < all.size(); ++i) {
    for (int64_t k = 0; k < all[i].num_elements(); ++k) {
      ASSERT_EQ(chunked[i].data<double>()[k], all[i].data<double>()[k]) << i;
    }
  }
}

TEST_F(OpsGradient, GradcheckFindsAWrongGradient) {
  const Tensor inputs[] = {random({3, 4})};
  const auto wrong = [](const Context& c, std::span<const Tensor> x) {
    Tensor y = x[0].with_var(0);
    if (c.records(x[0])) {
      y = c.tape->record("wrong", {x[0].var()}, y, [](const Tensor&) {
        return std::vector<Tensor>{Tensor::zeros(DType::kF64, {3, 4})};
      });
    }
    return scalar_of(c, y);
  };
  EXPECT_NE(gradcheck(device_, wrong, inputs), "");
}

}  // namespace
}  // namespace minke
