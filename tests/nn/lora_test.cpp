// Goal: a Linear with low-rank addends is one of W + scale B A, whatever the form in which it is
// asked, and its gradients reach x, W, A and B. Method: against a Linear of the sum computed in
// double; central differences in f64.
#include "minke/nn/lora.h"

#include <cmath>

#include "minke/autograd/gradcheck.h"
#include "minke/nn/linear.h"
#include "tests/nn/weights.h"

namespace minke {
namespace {

constexpr int64_t kCols = 64;

class LoraTest : public ::testing::Test {
 protected:
  Tensor random(DType dtype, const Shape& shape) {
    const Tensor x = Tensor::zeros(dtype, shape);
    for (int64_t i = 0; i < x.num_elements(); ++i) {
      const double value = random_.normal();
      if (dtype == DType::kF64) {
        x.data<double>()[i] = value;
      } else {
        x.data<float>()[i] = static_cast<float>(value);
      }
    }
    return x;
  }
  std::vector<float> floats(int64_t count) {
    const Tensor x = random(DType::kF32, {count});
    return {x.data<float>(), x.data<float>() + count};
  }
  LoraDelta delta(int64_t rank, int64_t rows) {
    return {rank, rows, kCols, 0.25, floats(rank * kCols), floats(rows * rank)};
  }
  /// Loads matrices "m0", "m1", ... of those rows as one Linear, with the deltas or without.
  Linear load(const GgufFile& file, const std::vector<int64_t>& rows, Precision precision,
              const LoraDeltas* deltas, InputNorm norm = {}) {
    ParameterLoader loader(device_, file, store_, precision, nullptr, deltas);
    std::vector<ParameterLoader::Matrix> wanted;
    for (const int64_t count : rows) wanted.push_back({fmt::format("m{}", wanted.size()), count});
    auto made = loader.matrices(wanted, kCols);
    EXPECT_TRUE(made) << made.error().message;
    return Linear(std::move(*made), precision, norm);
  }
  /// y + the addends of the deltas to the matrices of those rows, in double.
  static void add_expected(const Tensor& x, const std::vector<int64_t>& rows,
                           const LoraDeltas& deltas, std::vector<double>& y) {
    const int64_t n = x.size(0), width = static_cast<int64_t>(y.size()) / n;
    int64_t first = 0;
    for (size_t m = 0; m < rows.size(); first += rows[m++]) {
      const auto at = deltas.find(fmt::format("m{}", m));
      if (at == deltas.end()) continue;
      for (const LoraDelta& d : at->second) {
        for (int64_t i = 0; i < n * d.rows * d.rank; ++i) {
          const int64_t t = i / (d.rows * d.rank), row = i / d.rank % d.rows, r = i % d.rank;
          double low = 0;
          for (int64_t c = 0; c < kCols; ++c) {
            low += static_cast<double>(x.view().row<float>(t)[c]) *
                   static_cast<double>(d.a[static_cast<size_t>(r * kCols + c)]);
          }
          y[static_cast<size_t>(t * width + first + row)] +=
              d.scale * low * static_cast<double>(d.b[static_cast<size_t>(row * d.rank + r)]);
        }
      }
    }
  }

  Device device_{2, false, CpuLevel::kRef};
  Random random_{5};
  ParameterStore store_;
};

TEST_F(LoraTest, AddendsOfPartsStandAtTheirRowsInEveryPrecisionAndForm) {
  const std::vector<int64_t> rows = {32, 16, 32};
  for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
    for (const DType middle : {DType::kQ8_0, DType::kF32}) {  // one part, or three
      RandomWeights weights(11);
      for (size_t i = 0; i < rows.size(); ++i) {
        weights.add(fmt::format("m{}", i), i == 1 ? middle : DType::kQ8_0, {rows[i], kCols});
      }
      const GgufFile file = weights.file();
      LoraDeltas deltas;
      deltas["m0"] = {delta(3, 32)};
      deltas["m2"] = {delta(1, 32), delta(17, 32)};
      Parameter norm;
      norm.cols = kCols;
      norm.value = random(DType::kF32, {kCols});
      const InputNorm input_norm{&norm, 1e-5};
      const Linear plain = load(file, rows, precision, nullptr, input_norm);
      const Linear adapted = load(file, rows, precision, &deltas, input_norm);
      const Tensor x = random(DType::kF32, {5, kCols});
      const Tensor base = plain.forward({device_}, x);
      const Tensor y = adapted.forward({device_}, x);
      std::vector<double> expected(base.data<float>(), base.data<float>() + base.num_elements());
      add_expected(ops::rms_norm({device_}, x, norm.value, 1e-5), rows, deltas, expected);
      for (int64_t i = 0; i < y.num_elements(); ++i) {
        ASSERT_NEAR(static_cast<double>(y.data<float>()[i]), expected[static_cast<size_t>(i)], 2e-3)
            << i;
      }
      const Tensor swiglu = adapted.forward_swiglu({device_}, x);
      const Tensor by_op = ops::swiglu({device_}, y);
      const Tensor residual = random(DType::kF32, {5, 80});
      const Tensor sum = ops::add({device_}, residual, y);
      const Tensor added = adapted.forward_add({device_}, x, residual);
      for (int64_t i = 0; i < swiglu.num_elements(); ++i) {
        ASSERT_EQ(swiglu.data<float>()[i], by_op.data<float>()[i]);
      }
      for (int64_t i = 0; i < sum.num_elements(); ++i) {
        ASSERT_EQ(added.data<float>()[i], sum.data<float>()[i]);
      }
    }
  }
}

TEST_F(LoraTest, PartsOfRowsAndGroupsHaveTheBitsOfTheWhole) {
  for (const Precision precision : {Precision::kF32, Precision::kInt8}) {
    RandomWeights weights(12);
    weights.add("m0", DType::kQ8_0, {96, kCols});
    const GgufFile file = weights.file();
    LoraDeltas deltas;
    deltas["m0"] = {delta(5, 96)};
    const Linear adapted = load(file, {96}, precision, &deltas);
    const Linear plain = load(file, {96}, precision, nullptr);
    const Tensor x = random(DType::kF32, {7, kCols});
    const Tensor y = adapted.forward({device_}, x), base = plain.forward({device_}, x);
    const Tensor rows = adapted.forward_rows({device_}, x, 32, 96);
    const std::vector<const Linear*> linears = {&adapted, &plain, &adapted};
    const Tensor grouped = Linear::forward_grouped({device_}, x, linears, {2, 1, 4});
    const Tensor swiglu = Linear::forward_swiglu_grouped({device_}, x, linears, {2, 1, 4});
    const Tensor by_op = ops::swiglu({device_}, grouped);
    for (int64_t i = 0; i < 7; ++i) {
      const auto* expected = (i == 2 ? base : y).view().row<float>(i);
      for (int64_t c = 0; c < 96; ++c) {
        ASSERT_EQ(grouped.view().row<float>(i)[c], expected[c]) << i << " " << c;
        if (c >= 32) {
          ASSERT_EQ(rows.view().row<float>(i)[c - 32], y.view().row<float>(i)[c]);
        }
        if (c < 48) {
          ASSERT_EQ(swiglu.view().row<float>(i)[c], by_op.view().row<float>(i)[c]);
        }
      }
    }
  }
}

// Parameters of f64, and a Linear of them.
class LoraGradient : public LoraTest {
 protected:
  Parameter matrix(int64_t rows, int64_t cols) {
    const Tensor plain = random(DType::kF64, {rows, cols});
    Parameter made;
    made.dtype = DType::kF64;
    made.rows = rows;
    made.cols = cols;
    made.value = Tensor::zeros(DType::kF64, {kernels::packed_bytes(DType::kF64, rows, cols) / 8});
    kernels::pack(device_, plain.view().data, DType::kF64, rows, cols, made.value.view().data);
    return made;
  }
  static Tensor loss(const Context& context, const Tensor& y) {
    const std::vector<int32_t> targets(static_cast<size_t>(y.size(0)), 1);
    return ops::cross_entropy(context, y, targets);
  }
};

TEST_F(LoraGradient, ReachesInputsTheMatrixAndBothFactors) {
  Parameter w = matrix(18, 7);
  Parameter a0 = matrix(3, 7), b0 = matrix(5, 3), a1 = matrix(1, 7), b1 = matrix(18, 1);
  w.loras = {{&a0, &b0, 0.7, 13}, {&a1, &b1, -1.3, 0}};
  const Linear linear({&w}, Precision::kF32);
  const Tensor inputs[] = {
      random(DType::kF64, {4, 7}), w.value, a0.value, b0.value, a1.value, b1.value};
  const auto whole = [&](const Context& context, std::span<const Tensor> x) {
    return loss(context, linear.forward_swiglu(context, x[0]));
  };
  EXPECT_EQ(gradcheck(device_, whole, inputs), "");
  const auto grouped = [&](const Context& context, std::span<const Tensor> x) {
    return loss(context, Linear::forward_grouped(context, x[0], {&linear, &linear}, {1, 3}));
  };
  EXPECT_EQ(gradcheck(device_, grouped, inputs), "");
}

TEST_F(LoraGradient, LeavesAFrozenMatrixOut) {
  RandomWeights weights(13);
  weights.add("m0", DType::kQ8_0, {32, kCols});
  const GgufFile file = weights.file();
  LoraDeltas deltas;
  deltas["m0"] = {delta(2, 32)};
  const Linear linear = load(file, {32}, Precision::kF32, &deltas);
  Tape tape;
  tape.backward(device_, loss({device_, &tape},
                              linear.forward({device_, &tape}, random(DType::kF32, {3, kCols}))));
  int with_gradient = 0;
  for (const Parameter& parameter : store_.parameters()) {
    if (parameter.trainable() && tape.grad(tape.watch(parameter.value)).defined()) ++with_gradient;
  }
  EXPECT_EQ(with_gradient, 2);
}

}  // namespace
}  // namespace minke
