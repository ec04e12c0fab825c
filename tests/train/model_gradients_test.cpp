// Goal: the loss of whole models and its gradient by every parameter are PyTorch's, for every
// architecture, and the same to the bit whatever is computed again in backward. Method: checkpoints
// of tests/golden/hf, a batch of sequences of different lengths, and gradients in f64 from
// tests/golden/model_gradients.py.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "minke/convert/parameter_tensors.h"
#include "minke/format/safetensors.h"
#include "minke/models/expert_loads.h"
#include "minke/models/model_file.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder() {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  return fs::path(source == nullptr ? "." : source) / "tests/golden";
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(golden_folder() / "gradients")) {
    names.push_back(entry.path().stem().string());
  }
  return names;
}

using Tensors = std::map<std::string, std::vector<float>>;

struct Golden {
  ForwardBatch batch;
  std::vector<int32_t> targets;
  double num_targets = 0.0;
  double loss = 0.0;
  Tensors gradients;  // under the names of the checkpoint

  explicit Golden(const std::string& name) {
    const auto file =
        SafetensorsFile::open(golden_folder() / "gradients" / (name + ".safetensors"));
    EXPECT_TRUE(file) << file.error().message;
    const auto ints = [&](const char* tensor) {
      const WeightInfo* info = file->find(tensor);
      std::vector<int32_t> out(static_cast<size_t>(info->shape[0]));
      std::memcpy(out.data(), info->bytes.data(), info->bytes.size());
      return out;
    };
    batch.tokens = ints("ids");
    batch.lengths = ints("lengths");
    batch.mtp_weight = 0.3;
    targets = ints("targets");
    for (const int32_t length : batch.lengths) {
      for (int32_t i = 0; i < length; ++i) batch.positions.push_back(i);
    }
    num_targets = static_cast<double>(
        std::count_if(targets.begin(), targets.end(), [](int32_t t) { return t >= 0; }));
    for (const WeightInfo& info : file->weights()) {
      if (info.dtype != DType::kF32) continue;
      std::vector<float>& values = gradients[info.name];
      append_decoded(info, 0, info.shape.num_rows(), values);
    }
    loss = gradients.extract("loss").mapped().front();
  }
};

std::unique_ptr<Model> loaded(const Device& device, const std::string& name) {
  const auto file = ModelFile::open(golden_folder() / "hf" / name);
  EXPECT_TRUE(file) << file.error().message;
  auto model = load_model(device, file->weights(), file->config(),
                          {.precision = Precision::kF32,
                           .context_tokens = 64,
                           .mtp_modules = 8,
                           .trains_weights = true});
  EXPECT_TRUE(model) << name << ": " << model.error().message;
  return std::move(*model);
}

struct Outcome {
  double loss = 0.0;
  Tensors gradients;
  size_t kept_bytes = 0;  // from the forward until backward
  bool operator==(const Outcome& other) const {
    return loss == other.loss && gradients == other.gradients;
  }
};

Outcome gradients_of(const Device& device, const Model& model, const Golden& golden) {
  Outcome outcome;
  Tape tape;
  const Context context{device, &tape};
  const size_t bytes_before = device.arena().bytes_in_use();
  const Tensor loss = model.loss(context, golden.batch, golden.targets, golden.num_targets);
  outcome.kept_bytes = device.arena().bytes_in_use() - bytes_before;
  outcome.loss = *loss.data<float>();
  tape.backward(device, loss);
  std::vector<Tensor> gradients;
  for (const Parameter& parameter : model.parameters().parameters()) {
    const Tensor gradient = tape.grad(tape.watch(parameter.value));
    gradients.push_back(gradient.defined() ? gradient
                                           : Tensor::zeros(DType::kF32, parameter.value.shape()));
  }
  for (const PlannedTensor& tensor : plan_parameters(model, gradients)) {
    std::vector<float>& values = outcome.gradients[tensor.declaration.name];
    values.resize(static_cast<size_t>(tensor.declaration.shape.num_elements()));
    auto* bytes = reinterpret_cast<std::byte*>(values.data());
    const size_t unit_bytes = tensor.declaration.bytes() / static_cast<size_t>(tensor.num_units);
    for (int64_t unit = 0; unit < tensor.num_units; ++unit) {
      tensor.make(unit, bytes + static_cast<size_t>(unit) * unit_bytes);
    }
  }
  return outcome;
}

double norm(const std::vector<float>& values) {
  double squares = 0.0;
  for (const float value : values) squares += double{value} * value;
  return std::sqrt(squares);
}

void expect_near(const std::vector<float>& found, const std::vector<float>& expected,
                 const std::string& what) {
  constexpr double kTolerance = 1e-4;
  ASSERT_EQ(found.size(), expected.size()) << what;
  std::vector<float> difference(found.size());
  float largest = 0.0f, worst = 0.0f;
  for (size_t i = 0; i < found.size(); ++i) {
    difference[i] = found[i] - expected[i];
    largest = std::max(largest, std::fabs(expected[i]));
    worst = std::max(worst, std::fabs(difference[i]));
  }
  EXPECT_LE(norm(difference), kTolerance * norm(expected)) << what;
  EXPECT_LE(worst, kTolerance * largest) << what;
}

TEST(ModelGradients, ArePyTorchsForEveryParameter) {
  ASSERT_GE(cases().size(), 9u);
  for (const std::string& name : cases()) {
    const Golden golden(name);
    for (const CpuLevel level : kCpuLevels) {
      if (!cpu_level_supported(level)) continue;
      const Device device(2, false, level);
      const auto model = loaded(device, name);
      const Outcome outcome = gradients_of(device, *model, golden);
      EXPECT_NEAR(outcome.loss, golden.loss, 1e-5 * golden.loss) << name;
      for (const auto& [tensor, expected] : golden.gradients) {
        ASSERT_TRUE(outcome.gradients.contains(tensor)) << name << " " << tensor;
        expect_near(outcome.gradients.at(tensor), expected,
                    name + " " + cpu_level_name(level) + " " + tensor);
      }
      for (const auto& [tensor, found] : outcome.gradients) {
        if (golden.gradients.contains(tensor)) continue;
        EXPECT_TRUE(tensor.ends_with("e_score_correction_bias")) << name << " " << tensor;
        EXPECT_EQ(norm(found), 0.0) << name << " " << tensor;
      }
    }
  }
}

TEST(ModelGradients, HaveTheSameBitsWhateverIsComputedAgain) {
  for (const std::string& name : cases()) {
    SCOPED_TRACE(name);
    const Golden golden(name);
    const Device device(2, false, CpuLevel::kRef);
    const auto run = [&](Recompute recompute) {
      const auto model = loaded(device, name);
      model->set_recompute(recompute);
      const Outcome outcome = gradients_of(device, *model, golden);
      int64_t rows_of_experts = 0;
      for (const LayerLoads& loads : expert_loads(*model)) rows_of_experts += loads.total();
      return std::pair(outcome, rows_of_experts);
    };
    const auto [all_kept, loads] = run(Recompute::kNothing);
    const auto [activations, activations_loads] = run(Recompute::kActivations);
    const auto [blocks, blocks_loads] = run(Recompute::kBlocks);
    EXPECT_EQ(activations, all_kept);
    EXPECT_EQ(blocks, all_kept);
    // Matrices of several parts, as layers of experts alone have here, remake nothing.
    EXPECT_LE(activations.kept_bytes, all_kept.kept_bytes);
    if (name == "llama" || name == "gpt2") EXPECT_LT(activations.kept_bytes, all_kept.kept_bytes);
    EXPECT_LT(blocks.kept_bytes, activations.kept_bytes);
    EXPECT_EQ(activations_loads, loads) << "rows of experts are counted twice";
    EXPECT_EQ(blocks_loads, loads);
  }
}

TEST(ModelGradients, WithoutAWeightMtpModulesAreLeftOut) {
  Golden golden("deepseek-v3-mtp");
  const Device device(1, false, CpuLevel::kRef);
  const auto model = loaded(device, "deepseek-v3-mtp");
  golden.batch.mtp_weight = 0.0;
  const Outcome without = gradients_of(device, *model, golden);
  EXPECT_LT(without.loss, golden.loss);
  for (const auto& [name, values] : without.gradients) {
    const bool is_mtp = name.find(".enorm.") != std::string::npos;
    if (is_mtp) EXPECT_EQ(norm(values), 0.0) << name;
  }
}

}  // namespace
}  // namespace minke
