// Goal: optimizers, clipping and schedules compute what PyTorch's do. Method:
// tests/golden/optimizers.json (optimizers.py beside it has the formulas of weights and gradients).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <numeric>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/kernels/packed.h"
#include "minke/train/ema.h"
#include "minke/train/gradient_norm.h"
#include "minke/train/optimizer_config.h"
#include "minke/train/orthogonal.h"
#include "minke/train/schedule.h"

namespace minke {
namespace {

constexpr int kNumSteps = 8;

Json golden(const char* part) {
  const char* root = std::getenv("MINKE_SOURCE_DIR");
  const std::string folder = root != nullptr ? root : ".";
  const auto text = read_file(folder + "/tests/golden/optimizers.json");
  EXPECT_TRUE(text.has_value()) << "run in the source folder, or set MINKE_SOURCE_DIR";
  const Json document = text ? parse_json(*text).value_or(Json()) : Json();
  const Json* found = document.find(part);
  EXPECT_NE(found, nullptr) << part;
  return found != nullptr ? *found : Json();
}

// The golden formulas, for tensor j.
std::vector<float> weights(int j, int64_t count) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<double>(i);
    values[i] = static_cast<float>(0.5 * std::sin(0.37 * at + 1.3 * j + 0.0007 * at * at));
  }
  return values;
}
std::vector<float> gradients(int j, int64_t count, int step) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<double>(i);
    values[i] =
        static_cast<float>(0.2 * std::sin(0.51 * at + 0.7 * j + 1.1 * step + 0.0013 * at * at));
  }
  return values;
}

double golden_rate(int step) { return 0.01 / (1.0 + step); }

Tensor tensor_of(const std::vector<float>& values) {
  const Tensor x = Tensor::zeros(DType::kF32, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), x.data<float>());
  return x;
}

void expect_near(std::span<const float> values, const Json& expected, double tolerance,
                 const char* what) {
  ASSERT_EQ(values.size(), expected.as_array().size()) << what;
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_NEAR(values[i], expected.as_array()[i].as_double(), tolerance) << what << " " << i;
  }
}

TEST(OptimizerGoldenTest, AdamWIsPyTorchs) {
  const Device device(2, false, CpuLevel::kRef);
  OptimizerConfig config{.beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-6, .weight_decay = 0.2};
  for (const char* moments : {"f32", "bf16"}) {
    config.moments = moments;
    const auto optimizer = make_optimizer(config).value();
    std::vector<TrainedTensor> tensors = {{tensor_of(weights(0, 35)), {}, true, "matrix"},
                                          {tensor_of(weights(1, 6)), {}, false, "vector"}};
    for (int step = 0; step < kNumSteps; ++step) {
      tensors[0].gradient = tensor_of(gradients(0, 35, step));
      tensors[1].gradient = tensor_of(gradients(1, 6, step));
      optimizer->step(device, tensors, {golden_rate(step)});
    }
    const Json expected = golden("adamw");
    // A step is at most about the rate, and bf16 has 8 bits of each moment.
    const double tolerance = std::string(moments) == "f32" ? 2e-7 : 2e-4;
    expect_near(tensors[0].weight.span<float>(), expected.as_array()[0], tolerance, "matrix");
    expect_near(tensors[1].weight.span<float>(), expected.as_array()[1], tolerance, "vector");
  }
}

// Matrices [rows, cols], one below the other, in panels.
struct Panels {
  const Device& device;
  std::vector<int64_t> rows;
  int64_t cols;

  int64_t num_rows() const { return std::accumulate(rows.begin(), rows.end(), int64_t{0}); }
  template <class Values>
  Tensor pack(const Values& values_of) const {
    std::vector<float> joined;
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::vector<float> values = values_of(static_cast<int>(i), rows[i] * cols);
      joined.insert(joined.end(), values.begin(), values.end());
    }
    const int64_t bytes = kernels::packed_bytes(DType::kF32, num_rows(), cols);
    const Tensor packed = Tensor::zeros(DType::kF32, {bytes / 4});
    kernels::pack(device, std::as_bytes(std::span(joined)).data(), DType::kF32, num_rows(), cols,
                  packed.view().data);
    return packed;
  }
  std::vector<float> unpack(const Tensor& packed) const {
    std::vector<float> values(num_rows() * cols);
    std::vector<int32_t> indices(num_rows());
    std::iota(indices.begin(), indices.end(), 0);
    kernels::unpack_rows(
        device, {packed.view().data, DType::kF32, num_rows(), cols}, indices.data(), num_rows(),
        {reinterpret_cast<std::byte*>(values.data()), DType::kF32, num_rows(), cols, cols});
    return values;
  }
};

TEST(OptimizerGoldenTest, MuonIsPyTorchsForEachMatrixOfAJoinedWeight) {
  for (const int num_threads : {1, 2}) {
    const Device device = Device(num_threads, false, CpuLevel::kRef);
    const Panels joined{device, {24, 16}, 40}, tall{device, {40}, 24};
    for (const char* scale : {"original", "match_rms_adamw"}) {
      const auto optimizer =
          make_optimizer({.optimizer = "muon", .weight_decay = 0.1, .muon_scale = scale}).value();
      std::vector<TrainedTensor> tensors = {
          {joined.pack(weights), {}, true, "joined", joined.rows, joined.cols},
          {tall.pack([](int, int64_t count) { return weights(2, count); }),
           {},
           true,
           "tall",
           tall.rows,
           tall.cols}};
      for (int step = 0; step < kNumSteps; ++step) {
        tensors[0].gradient =
            joined.pack([&](int j, int64_t count) { return gradients(j, count, step); });
        tensors[1].gradient =
            tall.pack([&](int, int64_t count) { return gradients(2, count, step); });
        optimizer->step(device, tensors, {golden_rate(step)});
      }
      const Json expected = golden((std::string("muon_") + scale).c_str());
      const std::vector<float> values = joined.unpack(tensors[0].weight);
      // The iteration multiplies small singular values, and their errors, by up to 3.4^5.
      constexpr double kTolerance = 2e-5;
      expect_near(std::span(values).first(24 * 40), expected.as_array()[0], kTolerance, scale);
      expect_near(std::span(values).subspan(24 * 40), expected.as_array()[1], kTolerance, scale);
      expect_near(tall.unpack(tensors[1].weight), expected.as_array()[2], kTolerance, scale);
    }
  }
}

TEST(OptimizerGoldenTest, ClippingIsPyTorchsInPlaceAndInTheStep) {
  const Device device(2, false, CpuLevel::kRef);
  const Json expected = golden("clip");
  const auto tensors = [] {
    return std::vector<TrainedTensor>{
        {tensor_of(weights(0, 35)), tensor_of(gradients(0, 35, 0)), true, "a"},
        {tensor_of(weights(1, 6)), tensor_of(gradients(1, 6, 0)), true, "b"}};
  };
  const std::vector<TrainedTensor> clipped = tensors(), scaled = tensors();
  const double norm = clip_gradient_norm(device, clipped, 0.3);
  EXPECT_NEAR(norm, expected.find("norm")->as_double(), 1e-6);
  for (size_t i = 0; i < 2; ++i) {
    expect_near(clipped[i].gradient.span<float>(), expected.find("gradients")->as_array()[i], 1e-7,
                "clipped");
  }
  make_adamw({})->step(device, clipped, {0.01});
  make_adamw({})->step(device, scaled, {0.01, clip_scale(norm, 0.3)});
  for (size_t i = 0; i < 2; ++i) {
    const auto a = clipped[i].weight.span<float>(), b = scaled[i].weight.span<float>();
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin())) << "the factor must give the same bits";
  }
}

TEST(OptimizerGoldenTest, SchedulesAreTransformers) {
  struct Case {
    const char* name;
    ScheduleConfig config;
  };
  const Case cases[] = {{"constant", {.schedule = "constant"}},
                        {"linear", {.schedule = "linear", .final_fraction = 0.0}},
                        {"cosine", {.schedule = "cosine"}},
                        {"wsd_linear", {.schedule = "wsd", .decay_shape = "linear"}},
                        {"wsd_cosine", {.schedule = "wsd", .decay_shape = "cosine"}},
                        {"wsd_sqrt", {.schedule = "wsd", .decay_shape = "sqrt"}}};
  const Json expected = golden("schedules");
  for (const auto& [name, settings] : cases) {
    ScheduleConfig config = settings;
    config.learning_rate = 1.0;
    config.warmup_steps = 5;
    config.decay_fraction = 0.25;
    const Schedule schedule = Schedule::create(config, 40).value();
    const Json::Array& rates = expected.find(name)->as_array();
    ASSERT_EQ(rates.size(), 40u);
    // Transformers' WSD warms up from its last rate, not from 0.
    for (int64_t step = config.schedule == "wsd" ? 5 : 0; step < 40; ++step) {
      EXPECT_NEAR(schedule.rate(step), rates[step].as_double(), 1e-9) << name << " " << step;
    }
  }
}

TEST(OrthogonalizeTest, TakesSingularValuesNearOne) {
  const Device device(1, false, CpuLevel::kRef);
  const Tensor x = tensor_of(gradients(0, 12 * 30, 0)).reshaped({12, 30});
  orthogonalize(device, x);
  // X X^T has the squares of the singular values, whose sum and sum of squares bound them.
  double trace = 0.0, squares = 0.0;
  for (int64_t a = 0; a < 12; ++a) {
    for (int64_t b = 0; b < 12; ++b) {
      double dot = 0.0;
      for (int64_t i = 0; i < 30; ++i) {
        dot += double{x.data<float>()[a * 30 + i]} * x.data<float>()[b * 30 + i];
      }
      if (a == b) trace += dot;
      squares += dot * dot;
    }
  }
  EXPECT_GT(trace, 12 * 0.68 * 0.68);
  EXPECT_LT(squares, 12 * std::pow(1.21, 4));
}

TEST(OrthogonalizeTest, ZeroStaysZero) {
  const Device device(1, false, CpuLevel::kRef);
  const Tensor x = Tensor::zeros(DType::kF32, {3, 5});
  orthogonalize(device, x);
  for (const float value : x.span<float>()) EXPECT_EQ(value, 0.0f);
}

// What rounding to nearest would do here: with beta2 = 0.999 a step changes v by less than half a
// unit of bf16, so v would never fall.
TEST(Bf16MomentsTest, FollowAGradientThatShrinks) {
  const Device device(1, false, CpuLevel::kRef);
  const auto weight_after = [&](DType moments) {
    const auto optimizer = make_adamw({.beta2 = 0.999, .weight_decay = 0.0, .moments = moments});
    TrainedTensor tensor{Tensor::zeros(DType::kF32, {256}), Tensor::zeros(DType::kF32, {256})};
    for (int step = 0; step < 3000; ++step) {
      for (float& g : tensor.gradient.span<float>()) g = step < 100 ? 1.0f : 0.01f;
      optimizer->step(device, {&tensor, 1}, {1e-3});
    }
    double sum = 0.0;
    for (const float w : tensor.weight.span<float>()) sum += w;
    return sum / 256;
  };
  const double expected = weight_after(DType::kF32);
  EXPECT_NEAR(weight_after(DType::kBf16), expected, 0.01 * std::fabs(expected));
}

TEST(WeightAverageTest, FollowsItsFormulaAndASavedStateGoesOn) {
  const Device device(2, false, CpuLevel::kRef);
  std::vector<TrainedTensor> tensors = {{tensor_of(weights(0, 9)), {}, true, "a"}};
  std::vector<double> expected(9);
  WeightAverage straight(0.9), loaded(0.9);
  for (int step = 0; step < 5; ++step) {
    for (size_t i = 0; i < 9; ++i) {
      float& w = tensors[0].weight.data<float>()[i];
      w += 0.1f * static_cast<float>(i + step);
      expected[i] = step == 0 ? w : 0.9 * expected[i] + 0.1 * w;
    }
    straight.update(device, tensors);
    if (step == 2) {
      ASSERT_TRUE(loaded.load_state(tensors, straight.state()));
    } else if (step > 2) {
      loaded.update(device, tensors);
    }
  }
  const std::vector<float> before(tensors[0].weight.span<float>().begin(),
                                  tensors[0].weight.span<float>().end());
  for (WeightAverage* average : {&straight, &loaded}) {
    average->swap(device, tensors);
    for (size_t i = 0; i < 9; ++i) {
      EXPECT_NEAR(tensors[0].weight.data<float>()[i], expected[i], 1e-6);
    }
    average->swap(device, tensors);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), tensors[0].weight.data<float>()));
  }
  EXPECT_FALSE(loaded.load_state(tensors, {3, {}}));
}

TEST(OptimizerConfigTest, UnknownWordsAreErrors) {
  for (const OptimizerConfig& config :
       {OptimizerConfig{.optimizer = "sgd"}, OptimizerConfig{.moments = "f16"},
        OptimizerConfig{.muon_scale = "none"}}) {
    const auto made = make_optimizer(config);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, ErrorCode::kUsage);
    EXPECT_NE(made.error().message.find("should be one of"), std::string::npos);
  }
}

}  // namespace
}  // namespace minke
