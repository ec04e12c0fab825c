// Goal: a new adapter adds nothing, is what PEFT would make, and comes back from the model as it
// was given, in every architecture and order of rows; it alone is trained. Method: checkpoints of
// tests/golden/hf and a GGUF file; round trips.
#include "minke/models/new_adapter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

#include "minke/models/model_file.h"
#include "tests/models/tiny_llama.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKinds[] = {"llama", "qwen2", "deepseek-v3", "qwen3-moe-sparse"};

ModelFile golden_file(const std::string& name) {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  auto file =
      ModelFile::open(fs::path(source == nullptr ? "." : source) / "tests/golden/hf" / name);
  EXPECT_TRUE(file) << file.error().message;
  return std::move(*file);
}

Adapter made(const WeightFile& file, const ModelConfig& config, const LoraConfig& lora = {},
             uint64_t seed = 1) {
  auto adapter = new_adapter(file, config, lora, seed);
  EXPECT_TRUE(adapter) << adapter.error().message;
  return std::move(*adapter);
}

std::unique_ptr<Model> loaded(const Device& device, const WeightFile& file,
                              const ModelConfig& config, const Adapter* adapter) {
  LoadOptions options{Precision::kF32, 64};
  LoraDeltas deltas;
  if (adapter != nullptr) deltas = *fit_adapters(std::span(adapter, 1), file, config);
  options.adapters = &deltas;
  auto model = load_model(device, file, config, options);
  EXPECT_TRUE(model) << model.error().message;
  return std::move(*model);
}

ForwardBatch batch_of(int64_t rows) {
  ForwardBatch batch;
  for (int32_t i = 0; i < rows; ++i) {
    batch.tokens.push_back(i * 37 % 60);
    batch.positions.push_back(i);
  }
  batch.seq_len = rows;
  return batch;
}

std::vector<float> logits_of(const Device& device, const Model& model) {
  const Tensor logits = model.forward({device}, batch_of(12));
  return {logits.data<float>(), logits.data<float>() + logits.num_elements()};
}

// So that B, too, has numbers.
void fill(Adapter& adapter) {
  Random random(5);
  for (AdapterModule& module : adapter.modules) {
    for (float& value : module.delta.b) value = 0.05f * static_cast<float>(random.normal());
  }
}

TEST(NewAdapter, AddsNothingAndIsUniformWithinPeftsBound) {
  const Device device(2, false, supported_levels().front());
  for (const char* kind : kKinds) {
    const ModelFile file = golden_file(kind);
    const Adapter adapter = made(file.weights(), file.config(), {.r = 4});
    ASSERT_FALSE(adapter.modules.empty());
    for (const auto& [module, delta] : adapter.modules) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(delta.cols));
      double sum_of_squares = 0.0;
      for (const float a : delta.a) {
        EXPECT_LE(std::abs(a), bound);
        sum_of_squares += static_cast<double>(a) * static_cast<double>(a);
      }
      const double variance = sum_of_squares / static_cast<double>(delta.a.size());
      EXPECT_NEAR(variance / (bound * bound / 3.0), 1.0, 0.5) << kind << " " << module;
      for (const float b : delta.b) EXPECT_EQ(b, 0.0f);
      EXPECT_EQ(delta.scale, 8.0);  // 32 / 4
      EXPECT_EQ(module.find(".experts."), std::string::npos);
    }
    const auto plain = loaded(device, file.weights(), file.config(), nullptr);
    const auto with = loaded(device, file.weights(), file.config(), &adapter);
    EXPECT_EQ(logits_of(device, *with), logits_of(device, *plain)) << kind;
  }
}

TEST(NewAdapter, IsAFunctionOfItsSeed) {
  const ModelFile file = golden_file("llama");
  const auto values = [&](uint64_t seed) {
    return made(file.weights(), file.config(), {}, seed).modules.front().delta.a;
  };
  EXPECT_EQ(values(7), values(7));
  EXPECT_NE(values(7), values(8));
  const Adapter adapter = made(file.weights(), file.config());
  EXPECT_NE(adapter.modules[0].delta.a, adapter.modules[1].delta.a);
}

TEST(NewAdapter, TakesPeftsTargetsAndNamesThoseThatThereAre) {
  const ModelFile file = golden_file("llama");
  LoraConfig lora{.r = 2, .lora_alpha = 6.0, .use_rslora = true};
  lora.target_modules = {"q_proj", "layers.0.mlp.up_proj"};
  const Adapter adapter = made(file.weights(), file.config(), lora);
  for (const AdapterModule& module : adapter.modules) {
    EXPECT_TRUE(module.module.ends_with(".q_proj") ||
                module.module == "model.layers.0.mlp.up_proj");
    EXPECT_NEAR(module.delta.scale, 6.0 / std::sqrt(2.0), 1e-12);
  }
  EXPECT_EQ(static_cast<int64_t>(adapter.modules.size()), file.config().num_hidden_layers + 1);
  lora.target_modules = {"q_proj", "c_attn"};
  const auto wrong = new_adapter(file.weights(), file.config(), lora, 1);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kUsage);
  EXPECT_NE(wrong.error().message.find("'c_attn'; it has down_proj, gate_proj"), std::string::npos)
      << wrong.error().message;
  lora.target_modules = {"proj"};  // an end of a word is none of a name
  EXPECT_FALSE(new_adapter(file.weights(), file.config(), lora, 1));
}

void expect_same(const Adapter& found, const Adapter& adapter) {
  ASSERT_EQ(found.modules.size(), adapter.modules.size());
  for (size_t i = 0; i < found.modules.size(); ++i) {
    const LoraDelta &a = found.modules[i].delta, &b = adapter.modules[i].delta;
    EXPECT_EQ(found.modules[i].module, adapter.modules[i].module);
    EXPECT_EQ(std::tuple(a.rank, a.rows, a.cols, a.scale),
              std::tuple(b.rank, b.rows, b.cols, b.scale));
    EXPECT_TRUE(a.a == b.a && a.b == b.b) << adapter.modules[i].module;
  }
}

TEST(NewAdapter, ComesBackFromTheModelAsItWasGiven) {
  const Device device(2, false, supported_levels().front());
  for (const char* kind : kKinds) {
    const ModelFile file = golden_file(kind);
    LoraConfig lora{.r = 3};
    if (std::string_view(kind) == "qwen3-moe-sparse") lora.target_modules = {"down_proj", "v_proj"};
    Adapter adapter = made(file.weights(), file.config(), lora);
    fill(adapter);
    const auto model = loaded(device, file.weights(), file.config(), &adapter);
    expect_same(adapter_of(device, *model, "base"), adapter);
  }
  // GGUF's Llama has rows in pairs.
  const std::string bytes = tiny_llama_gguf({}, 3);
  const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
  const auto config = config_from_gguf(*file);
  Adapter adapter = made(*file, *config, {.r = 3});
  fill(adapter);
  const auto model = loaded(device, *file, *config, &adapter);
  expect_same(adapter_of(device, *model, "base"), adapter);
}

TEST(NewAdapter, TakesTheNumbersOfAnother) {
  const Device device(2, false, supported_levels().front());
  const std::string bytes = tiny_llama_gguf({}, 3);
  const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
  const auto config = config_from_gguf(*file);
  Adapter adapter = made(*file, *config, {.r = 3}, 2);
  const auto model = loaded(device, *file, *config, &adapter);
  fill(adapter);
  const uint64_t version = model->parameters().version();
  ASSERT_TRUE(set_adapter(device, adapter, *model));
  EXPECT_NE(model->parameters().version(), version);
  expect_same(adapter_of(device, *model, "base"), adapter);
  EXPECT_EQ(logits_of(device, *model),
            logits_of(device, *loaded(device, *file, *config, &adapter)));
  adapter.modules.pop_back();
  const auto wrong = set_adapter(device, adapter, *model);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, ErrorCode::kCorrupt);
  EXPECT_FALSE(set_adapter(device, made(*file, *config, {.r = 4}), *model));
}

TEST(NewAdapter, AloneIsTrained) {
  const Device device(2, false, supported_levels().front());
  const std::string bytes = tiny_llama_gguf({}, 3);
  const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
  const auto config = config_from_gguf(*file);
  Adapter adapter = made(*file, *config, {.r = 3});
  fill(adapter);
  const auto model = loaded(device, *file, *config, &adapter);
  train_adapters_only(model->parameters());
  const ForwardBatch batch = batch_of(12);
  Tape tape;
  const Tensor logits = model->forward({device, &tape}, batch);
  tape.backward(device, ops::cross_entropy({device, &tape}, logits, batch.tokens));
  size_t num_trained = 0;
  for (const Parameter& parameter : model->parameters().parameters()) {
    const bool is_adapter = parameter.names.front().find(".lora_") != std::string::npos;
    EXPECT_EQ(parameter.trainable(), is_adapter) << parameter.names.front();
    if (!is_adapter) continue;
    ++num_trained;
    EXPECT_TRUE(tape.grad(tape.watch(parameter.value)).defined()) << parameter.names.front();
  }
  EXPECT_EQ(num_trained, 2 * adapter.modules.size());
}

}  // namespace
}  // namespace minke
