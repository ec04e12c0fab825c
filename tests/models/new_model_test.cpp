// Goal: a model made from a config.json and a seed has the numbers that training begins with, is a
// function of both, and can be trained. Method: the moments of each tensor, tensors of models that
// differ, a step of every architecture's golden config, wrong configs.
#include "minke/models/new_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/nn/parameter_part.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

std::string golden_config(const std::string& name) {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  const fs::path folder = fs::path(source == nullptr ? "." : source) / "tests/golden/hf" / name;
  return read_file(folder / "config.json").value();
}

// A config with one setting more, or another.
std::string changed(const std::string& config_json, std::string_view field, Json value) {
  Json config = *parse_json(config_json);
  config.set(field, std::move(value));
  return config.dump();
}

std::string with(const std::string& name, std::string_view field, Json value) {
  return changed(golden_config(name), field, std::move(value));
}

std::unique_ptr<Model> made(const Device& device, const std::string& config, uint64_t seed) {
  auto model = new_model(device, config, {.seed = seed, .context_tokens = 64});
  EXPECT_TRUE(model) << model.error().message;
  return std::move(*model);
}

std::map<std::string, std::vector<float>> tensors_of(const Model& model) {
  std::map<std::string, std::vector<float>> out;
  for (const Parameter& parameter : model.parameters().parameters()) {
    for (const ParameterPart& part : parts_of(parameter)) {
      std::vector<float>& values = out[part.name];
      values.resize(static_cast<size_t>(part.shape().num_elements()));
      for (int64_t row = 0; row < part.shape().num_rows(); ++row) {
        copy_row(part, parameter.value, row, values.data() + row * part.cols);
      }
    }
  }
  return out;
}

TEST(NewModel, MatricesAreNormalNormsOneAndBiasesZero) {
  const Device device(2, false, CpuLevel::kRef);
  double squares = 0.0, fourth_powers = 0.0;
  int64_t num_normal = 0;
  for (const char* name : {"llama", "qwen2", "qwen3", "qwen3-moe", "deepseek-v3-mtp"}) {
    const auto model = made(device, with(name, "initializer_range", 0.05), 7);
    for (const auto& [tensor, values] : tensors_of(*model)) {
      if (tensor.ends_with("norm.weight") || tensor.ends_with(".bias")) {
        const float constant = tensor.ends_with(".bias") ? 0.0f : 1.0f;
        EXPECT_EQ(values, std::vector<float>(values.size(), constant)) << name << " " << tensor;
        continue;
      }
      double sum = 0.0, sum_of_squares = 0.0;
      for (const float value : values) {
        const double x = value / 0.05;
        sum += x;
        sum_of_squares += x * x;
        fourth_powers += x * x * x * x;
      }
      squares += sum_of_squares;
      num_normal += static_cast<int64_t>(values.size());
      const auto n = static_cast<double>(values.size());
      EXPECT_LT(std::abs(sum / n), 5.0 / std::sqrt(n)) << name << " " << tensor;
      EXPECT_NEAR(sum_of_squares / n, 1.0, 5.0 * std::sqrt(2.0 / n)) << name << " " << tensor;
    }
  }
  const auto n = static_cast<double>(num_normal);
  EXPECT_GT(num_normal, 100000);
  EXPECT_NEAR(squares / n, 1.0, 5.0 * std::sqrt(2.0 / n));
  EXPECT_NEAR(fourth_powers / n, 3.0, 5.0 * std::sqrt(96.0 / n));
}

TEST(NewModel, TheDeviationIsTheConfigsOrTheArchitecturesOwn) {
  const Device device(1, false, CpuLevel::kRef);
  const auto deviation = [&](const std::string& config) {
    double squares = 0.0;
    const auto tensors = tensors_of(*made(device, config, 1));
    const std::vector<float>& values = tensors.at("token_embd.weight");
    for (const float value : values) squares += double{value} * value;
    return std::sqrt(squares / static_cast<double>(values.size()));
  };
  EXPECT_NEAR(deviation(with("llama", "initializer_range", Json())), 0.02, 0.002);
  EXPECT_NEAR(deviation(with("deepseek-v3", "initializer_range", Json())), 0.006, 0.0006);
  EXPECT_NEAR(deviation(with("llama", "initializer_range", 0.3)), 0.3, 0.03);
}

TEST(NewModel, IsAFunctionOfSeedAndNamesNotOfThreadsOrOtherTensors) {
  const auto one = tensors_of(*made(Device(1, false, CpuLevel::kRef), golden_config("llama"), 3));
  EXPECT_EQ(one, tensors_of(*made(Device(3, false, CpuLevel::kRef), golden_config("llama"), 3)));
  const Device device(2, false, CpuLevel::kRef);
  const auto other_seed = tensors_of(*made(device, golden_config("llama"), 4));
  EXPECT_NE(one.at("blk.1.ffn_up.weight"), other_seed.at("blk.1.ffn_up.weight"));
  EXPECT_NE(one.at("blk.0.ffn_up.weight"), one.at("blk.1.ffn_up.weight"));
  const auto deeper = tensors_of(*made(device, with("llama", "num_hidden_layers", 3), 3));
  for (const auto& [name, values] : one) EXPECT_EQ(values, deeper.at(name)) << name;
}

TEST(NewModel, EveryParameterCanBeTrainedAndCounted) {
  const Device device(2, false, CpuLevel::kRef);
  for (const char* name :
       {"llama3", "qwen2", "qwen3-moe-sparse", "deepseek-v2", "deepseek-v3-mtp", "gpt2"}) {
    const auto model = made(device, golden_config(name), 5);
    for (const Parameter& parameter : model->parameters().parameters()) {
      EXPECT_TRUE(parameter.trainable()) << name << " " << parameter.names.front();
    }
    EXPECT_EQ(count_parameters(golden_config(name)).value(), model->parameters().num_elements());
    Tape tape;
    const Context context{device, &tape};
    ForwardBatch batch;
    batch.tokens = {1, 2, 3, 4};
    batch.positions = {0, 1, 2, 3};
    batch.seq_len = 4;
    const Tensor logits = model->forward(context, batch);
    const std::vector<int32_t> targets = {2, 3, 4, 5};
    const Tensor loss = ops::cross_entropy(context, logits, targets);
    // All tokens are nearly as likely: logits have a deviation of 0.02 * sqrt(36).
    EXPECT_NEAR(*loss.data<float>(), std::log(61.0), 5 * 0.12 / std::sqrt(4.0)) << name;
    tape.backward(device, loss);
  }
}

TEST(NewModel, Gpt2sSumOfBlocksDoesNotGrowWithTheDepth) {
  const Device device(1, false, CpuLevel::kRef);
  const auto tensors = tensors_of(*made(device, with("gpt2", "n_layer", 8), 2));
  const auto deviation = [&](const char* name) {
    double squares = 0.0;
    for (const float value : tensors.at(name)) squares += double{value} * value;
    return std::sqrt(squares / static_cast<double>(tensors.at(name).size()));
  };
  EXPECT_NEAR(deviation("blk.7.attn_qkv.weight"), 0.02, 0.001);
  EXPECT_NEAR(deviation("blk.7.ffn_up.weight"), 0.02, 0.001);
  EXPECT_NEAR(deviation("blk.7.attn_output.weight"), 0.005, 0.0003);
  EXPECT_NEAR(deviation("blk.7.ffn_down.weight"), 0.005, 0.0003);
  EXPECT_EQ(tensors.at("blk.7.attn_qkv.bias"), std::vector<float>(3 * 48, 0.0f));
  // nanoGPT's recipe for a CPU, whose models have no biases; it counts 0.80 M, without positions.
  const char* nano = R"({"model_type": "gpt2", "n_layer": 4, "n_head": 4, "n_embd": 128,
    "n_positions": 64, "vocab_size": 65, "bias": false, "activation_function": "gelu"})";
  EXPECT_EQ(count_parameters(nano).value() - 64 * 128, 795904);
}

TEST(NewModel, SmolLm2HasItsPublishedNumberOfParameters) {
  const char* config = R"({"model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
    "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": true})";
  EXPECT_EQ(count_parameters(config).value(), 134515008);
}

TEST(NewModel, WrongConfigsAreErrors) {
  const Device device(1, false, CpuLevel::kRef);
  const auto error = [&](const std::string& config) {
    const auto model = new_model(device, config, {.seed = 1, .context_tokens = 8});
    EXPECT_FALSE(model);
    return model ? Error{} : model.error();
  };
  EXPECT_EQ(error("{").code, ErrorCode::kCorrupt);
  EXPECT_NE(error(with("llama", "initializer_range", -1)).message.find("initializer_range is -1"),
            std::string::npos);
  EXPECT_NE(error(with("llama", "initializer_range", "a")).message.find("initializer_range"),
            std::string::npos);
  EXPECT_NE(error(with("llama", "model_type", "bert")).message.find("bert"), std::string::npos);
  const std::string wide = with("llama", "vocab_size", 1 << 24);
  EXPECT_EQ(error(changed(wide, "hidden_size", 1 << 20)).code, ErrorCode::kWillNotFit);
}

}  // namespace
}  // namespace minke
