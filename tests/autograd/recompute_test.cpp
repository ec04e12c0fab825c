// Goal: what is computed again in backward gives the gradients of what was kept, to the bit, and is
// not kept. Method: the same small graphs both ways; a token that recorded steps hold on to.
#include "minke/autograd/recompute.h"

#include <gtest/gtest.h>

#include <memory>

#include "minke/base/random.h"
#include "minke/ops/ops.h"

namespace minke {
namespace {

class RecomputeTest : public ::testing::Test {
 protected:
  Device device_{1, false, CpuLevel::kRef};

  static Tensor random_tensor(const Shape& shape, uint64_t seed) {
    Random random(seed);
    const Tensor x = Tensor::zeros(DType::kF32, shape);
    for (float& value : x.span<float>()) value = static_cast<float>(random.normal());
    return x;
  }
  static std::vector<float> values(const Tensor& x) {
    return {x.span<float>().begin(), x.span<float>().end()};
  }
};

// What a function of x and a leaf w gives, and its gradients: of x, then of w.
struct Outcome {
  std::vector<float> y, dx, dw;
  bool operator==(const Outcome&) const = default;
};

TEST_F(RecomputeTest, GradientsHaveTheSameBitsAlsoOfLeavesUsedInsideAndOutside) {
  const Tensor x = random_tensor({5, 8}, 1), w = random_tensor({8}, 2);
  const std::vector<int32_t> targets = {1, 0, 7, -1, 3};
  // 0: everything is kept; 1: two steps are computed again; 2: also one inside the other.
  const auto run = [&](int depth) {
    Tape tape;
    const Context context{device_, &tape};
    const Tensor input = tape.watch(x);
    const auto norm = [&](const Context& c, const Tensor& t) {
      return ops::rms_norm(c, t, c.tape == nullptr ? w : c.tape->watch(w), 1e-5);
    };
    const auto step = [&](const Context& c, const Tensor& t) {
      const Tensor inner =
          depth < 2 ? norm(c, t)
                    : recompute(c, [&norm, t](const Context& again) { return norm(again, t); });
      return ops::add(c, t, norm(c, ops::add(c, inner, t)));
    };
    Tensor y = norm(context, input);
    for (int i = 0; i < 2; ++i) {
      y = depth == 0
              ? step(context, y)
              : recompute(context, [&step, y](const Context& again) { return step(again, y); });
    }
    tape.backward(device_, ops::cross_entropy(context, norm(context, y), targets));
    return Outcome{values(y), values(tape.grad(tape.watch(x))), values(tape.grad(tape.watch(w)))};
  };
  const Outcome kept = run(0);
  EXPECT_EQ(run(1), kept);
  EXPECT_EQ(run(2), kept);
}

TEST_F(RecomputeTest, StepsAreKeptOnlyWhileBackwardPassesThem) {
  Tape tape;
  const Context context{device_, &tape};
  const auto token = std::make_shared<int>(0);
  std::vector<bool> recorded_again;
  const auto step = [&](const Context& c, const Tensor& t) {
    if (c.tape == nullptr) return ops::add(c, t, t);
    recorded_again.push_back(c.tape->recomputes());
    return c.tape->record("step", {t.var()}, ops::add({c.device}, t, t),
                          [token](const Tensor& dy) { return std::vector<Tensor>{dy}; });
  };
  Tensor y = tape.watch(random_tensor({1}, 3));
  y = step(context, y);
  EXPECT_EQ(token.use_count(), 2);
  for (int i = 0; i < 3; ++i) {
    y = recompute(context, [&step, y](const Context& again) { return step(again, y); });
  }
  EXPECT_EQ(token.use_count(), 2) << "a step that is computed again was kept";
  tape.backward(device_, y);
  EXPECT_EQ(token.use_count(), 1);
  EXPECT_EQ(recorded_again, (std::vector<bool>{false, true, true, true}));
  EXPECT_FALSE(tape.recomputes());
}

TEST_F(RecomputeTest, OfAResultThatIsKnownOnlyTheGradientIsRecorded) {
  const Tensor x = random_tensor({4, 6}, 4);
  const auto run = [&](bool known) {
    Tape tape;
    const Context context{device_, &tape};
    const Tensor input = tape.watch(x);
    const auto triple = [&](const Context& c, const Tensor& value, const Tensor& from) {
      return c.tape->record("triple", {from.var()}, value, [this](const Tensor& dy) {
        const Tensor dx = Tensor::empty(device_.arena(), dy.dtype(), dy.shape());
        for (int64_t i = 0; i < dy.num_elements(); ++i) {
          dx.data<float>()[i] = 3.0f * dy.data<float>()[i];
        }
        return std::vector<Tensor>{dx};
      });
    };
    const Tensor y = Tensor::zeros(DType::kF32, x.shape());
    for (int64_t i = 0; i < x.num_elements(); ++i) y.data<float>()[i] = 3.0f * x.data<float>()[i];
    const Tensor result = known ? recompute_of(context, y,
                                               [&triple, input](const Context& c) {
                                                 const Tensor unread =
                                                     c.empty(DType::kF32, input.shape());
                                                 return triple(c, unread, input);
                                               })
                                : triple(context, y, input);
    tape.backward(device_, ops::cross_entropy(context, result, std::vector<int32_t>{0, 1, 2, 3}));
    return values(tape.grad(input));
  };
  EXPECT_EQ(run(true), run(false));
}

TEST_F(RecomputeTest, WithoutATapeOrWithoutGradientsItIsTheFunction) {
  const Tensor x = random_tensor({3}, 5);
  int calls = 0;
  const auto twice = [&](const Context& c) {
    ++calls;
    return ops::add(c, x, x);
  };
  EXPECT_EQ(values(recompute(Context{device_}, twice)), values(ops::add({device_}, x, x)));
  EXPECT_EQ(calls, 1);
  Tape tape;
  const Context context{device_, &tape};
  const Tensor leaf = tape.watch(random_tensor({1}, 6));
  recompute(context, twice);  // nothing that it reads is watched
  tape.backward(device_, ops::add(context, leaf, leaf));
  EXPECT_EQ(*tape.grad(leaf).data<float>(), 2.0f);
}

}  // namespace
}  // namespace minke
