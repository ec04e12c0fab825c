// Goal: the model that serves can be trained, as PyTorch trains it. Method: 20 steps of a tiny
// models/llama (its forward, backward, clipping and AdamW) against tests/golden/llama_train.json
// (PyTorch 2.13, f32; llama_train.py beside it has the model and the formulas of weights and
// tokens).
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <string>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/format/gguf_writer.h"
#include "minke/kernels/packed.h"
#include "minke/models/model.h"
#include "minke/ops/ops.h"
#include "minke/train/adamw.h"
#include "minke/train/gradient_norm.h"
#include "tests/golden/golden_path.h"

namespace minke {
namespace {

constexpr int64_t kVocab = 96, kHidden = 64, kHeads = 4, kKvHeads = 2, kHeadDim = 16, kFfn = 96;
constexpr int64_t kBatch = 2, kSeq = 24;

Json golden() {
  const auto text = read_file(golden_path("llama_train.json"));
  EXPECT_TRUE(text.has_value()) << "run in the source folder, or set MINKE_SOURCE_DIR";
  return text ? parse_json(*text).value_or(Json()) : Json();
}

// A weight of the golden model: its name there and in GGUF, in the order of the formulas.
struct NamedWeight {
  std::string name;
  std::string gguf_name;
  int64_t rows = 0;  // 0: a norm
  int64_t cols = 0;
};

std::vector<NamedWeight> golden_weights() {
  std::vector<NamedWeight> weights = {{"model.embed_tokens", "token_embd", kVocab, kHidden}};
  for (int layer = 0; layer < 2; ++layer) {
    const std::string hf = "model.layers." + std::to_string(layer) + ".";
    const std::string gguf = "blk." + std::to_string(layer) + ".";
    const int64_t kv_rows = kKvHeads * kHeadDim;
    weights.push_back({hf + "input_layernorm", gguf + "attn_norm", 0, kHidden});
    weights.push_back({hf + "self_attn.q_proj", gguf + "attn_q", kHidden, kHidden});
    weights.push_back({hf + "self_attn.k_proj", gguf + "attn_k", kv_rows, kHidden});
    weights.push_back({hf + "self_attn.v_proj", gguf + "attn_v", kv_rows, kHidden});
    weights.push_back({hf + "self_attn.o_proj", gguf + "attn_output", kHidden, kHidden});
    weights.push_back({hf + "post_attention_layernorm", gguf + "ffn_norm", 0, kHidden});
    weights.push_back({hf + "mlp.gate_proj", gguf + "ffn_gate", kFfn, kHidden});
    weights.push_back({hf + "mlp.up_proj", gguf + "ffn_up", kFfn, kHidden});
    weights.push_back({hf + "mlp.down_proj", gguf + "ffn_down", kHidden, kFfn});
  }
  weights.push_back({"model.norm", "output_norm", 0, kHidden});
  for (NamedWeight& weight : weights) {
    weight.name += ".weight";
    weight.gguf_name += ".weight";
  }
  return weights;
}

// The golden model as the file that load_model() reads.
std::string golden_gguf() {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("llama.block_count", uint32_t{2});
  writer.add("llama.context_length", static_cast<uint32_t>(kSeq));
  writer.add("llama.embedding_length", static_cast<uint32_t>(kHidden));
  writer.add("llama.feed_forward_length", static_cast<uint32_t>(kFfn));
  writer.add("llama.attention.head_count", static_cast<uint32_t>(kHeads));
  writer.add("llama.attention.head_count_kv", static_cast<uint32_t>(kKvHeads));
  writer.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  const std::vector<NamedWeight> weights = golden_weights();
  for (size_t j = 0; j < weights.size(); ++j) {
    const NamedWeight& weight = weights[j];
    const bool is_norm = weight.rows == 0;
    std::vector<float> values(std::max<int64_t>(weight.rows, 1) * weight.cols);
    for (size_t i = 0; i < values.size(); ++i) {
      const auto at = static_cast<double>(i);
      const double phase = 0.37 * at + 1.3 * static_cast<double>(j);
      values[i] = static_cast<float>(is_norm ? 1 + 0.1 * std::sin(phase)
                                             : 0.1 * std::sin(phase + 0.0007 * at * at));
    }
    const Shape shape = is_norm ? Shape{weight.cols} : Shape{weight.rows, weight.cols};
    writer.add_tensor(weight.gguf_name, DType::kF32, shape, std::as_bytes(std::span(values)));
  }
  return writer.serialize();
}

std::unique_ptr<Model> golden_model(const Device& device) {
  const std::string bytes = golden_gguf();
  const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
  EXPECT_TRUE(file) << file.error().message;
  auto config = config_from_gguf(*file);
  EXPECT_TRUE(config) << config.error().message;
  config->rope_style = kernels::RopeStyle::kHalf;  // transformers' layout of the heads
  auto model = load_model(device, *file, *config, {Precision::kF32, 0});
  EXPECT_TRUE(model) << model.error().message;
  return std::move(*model);
}

// The tensors of a parameter's layout (its values, or its gradient) under their golden names, in
// file order.
void add_row_major(const Device& device, const Parameter& parameter, const Tensor& storage,
                   std::map<std::string, std::vector<float>>& out) {
  std::map<std::string, std::string> golden_names;
  for (const NamedWeight& weight : golden_weights()) golden_names[weight.gguf_name] = weight.name;
  if (parameter.rows == 0) {
    out[golden_names.at(parameter.names[0])].assign(storage.span<float>().begin(),
                                                    storage.span<float>().end());
    return;
  }
  const kernels::PackedView packed{storage.view().data, DType::kF32, parameter.rows,
                                   parameter.cols};
  int32_t row = 0;
  for (size_t i = 0; i < parameter.names.size(); ++i) {
    const int64_t rows = parameter.name_rows[i];
    std::vector<int32_t> indices(rows);
    for (int32_t& index : indices) index = row++;
    std::vector<float>& values = out[golden_names.at(parameter.names[i])];
    values.resize(rows * parameter.cols);
    kernels::unpack_rows(device, packed, indices.data(), rows,
                         {reinterpret_cast<std::byte*>(values.data()), DType::kF32, rows,
                          parameter.cols, parameter.cols});
  }
}

struct Batch {
  ForwardBatch inputs;
  std::vector<int32_t> targets;
};
Batch make_batch(int64_t step) {
  Batch batch;
  batch.inputs.seq_len = kSeq;
  const auto token = [&](int64_t b, int64_t p) {
    return static_cast<int32_t>((7 * p + 13 * b + 5 * (step % 4) + p * p * (b + 1)) % kVocab);
  };
  for (int64_t b = 0; b < kBatch; ++b) {
    for (int64_t p = 0; p < kSeq; ++p) {
      batch.inputs.tokens.push_back(token(b, p));
      batch.inputs.positions.push_back(static_cast<int32_t>(p));
      batch.targets.push_back(token(b, p + 1));
    }
  }
  return batch;
}

// What one run of training leaves behind.
struct TrainingRun {
  std::vector<double> losses;
  std::vector<double> grad_norms;
  std::map<std::string, std::vector<float>> first_gradients;  // before clipping
  std::map<std::string, std::vector<float>> weights;          // after the last step
  std::vector<float> first_logits;
};

TrainingRun train(const Device& device, int num_steps) {
  const std::unique_ptr<Model> model = golden_model(device);
  AdamW optimizer({.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1});
  TrainingRun run;
  for (int step = 0; step < num_steps; ++step) {
    Tape tape;
    const Context context{device, &tape};
    const Batch batch = make_batch(step);
    const Tensor logits = model->forward(context, batch.inputs);
    const Tensor loss = ops::cross_entropy(context, logits, batch.targets);
    tape.backward(device, loss);
    std::vector<TrainedTensor> tensors;
    for (const Parameter& parameter : model->parameters().parameters()) {
      const Tensor grad = tape.grad(tape.watch(parameter.value));
      tensors.push_back({parameter.value, grad, parameter.rows > 0});
      if (step == 0) add_row_major(device, parameter, grad, run.first_gradients);
    }
    if (step == 0) {
      run.first_logits.assign(logits.span<float>().begin(), logits.span<float>().end());
    }
    run.losses.push_back(*loss.data<float>());
    run.grad_norms.push_back(clip_gradient_norm(device, tensors, 1.0));
    optimizer.step(device, tensors, {1e-3});
  }
  for (const Parameter& parameter : model->parameters().parameters()) {
    add_row_major(device, parameter, parameter.value, run.weights);
  }
  return run;
}

// Compares with {"sum", "abs_sum", "first8"}; `tolerance` is relative to the mean magnitude.
void expect_summary(const std::vector<float>& values, const Json& expected, double tolerance,
                    const std::string& what) {
  double sum = 0.0, abs_sum = 0.0;
  for (const float value : values) {
    sum += value;
    abs_sum += std::fabs(value);
  }
  const double abs_sum_expected = expected.find("abs_sum")->as_double();
  const double mean = abs_sum_expected / static_cast<double>(values.size());
  EXPECT_NEAR(abs_sum, abs_sum_expected, tolerance * abs_sum_expected) << what;
  EXPECT_NEAR(sum, expected.find("sum")->as_double(), tolerance * abs_sum_expected) << what;
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_NEAR(values[i], expected.find("first8")->as_array()[i].as_double(),
                tolerance * mean * 10)
        << what << " element " << i;
  }
}

class LlamaTrain : public ::testing::TestWithParam<CpuLevel> {};

TEST_P(LlamaTrain, TwentyStepsMatchPyTorch) {
  if (!cpu_level_supported(GetParam())) GTEST_SKIP() << "not on this CPU";
  const Json expected = golden();
  ASSERT_TRUE(expected.is_object());
  const Device device(2, false, GetParam());
  const TrainingRun run = train(device, 20);
  for (size_t i = 0; i < 20; ++i) {
    const double loss = expected.find("losses")->as_array()[i].as_double();
    const double norm = expected.find("grad_norms")->as_array()[i].as_double();
    EXPECT_NEAR(run.losses[i], loss, 1e-4 * loss) << "step " << i;
    EXPECT_NEAR(run.grad_norms[i], norm, 1e-3 * norm) << "step " << i;
  }
  for (const auto& [name, values] : run.first_gradients) {
    const Json* summary = expected.find("gradients")->find(name);
    ASSERT_NE(summary, nullptr) << name;
    expect_summary(values, *summary, 1e-4, "gradient of " + name);
  }
  EXPECT_EQ(run.first_gradients.size(), golden_weights().size());
  for (const auto& [name, values] : run.weights) {
    expect_summary(values, *expected.find("weights")->find(name), 2e-3, name);
  }
}

TEST_P(LlamaTrain, FirstLogitsMatchPyTorch) {
  if (!cpu_level_supported(GetParam())) GTEST_SKIP() << "not on this CPU";
  const Json expected = golden();
  ASSERT_TRUE(expected.is_object());
  const Device device(1, false, GetParam());
  const TrainingRun run = train(device, 1);
  const Json::Array& at = expected.find("logits")->find("at")->as_array();
  for (size_t i = 0; i < at.size(); ++i) {
    const int64_t row = at[i].as_array()[0].as_int() * kSeq + at[i].as_array()[1].as_int();
    const Json::Array& values = expected.find("logits")->find("values")->as_array()[i].as_array();
    for (int64_t c = 0; c < kVocab; ++c) {
      EXPECT_NEAR(run.first_logits[row * kVocab + c], values[c].as_double(), 2e-5)
          << "row " << row << " token " << c;
    }
  }
}

TEST_P(LlamaTrain, ThreadsDoNotChangeABit) {
  if (!cpu_level_supported(GetParam())) GTEST_SKIP() << "not on this CPU";
  const TrainingRun one = train(Device(1, false, GetParam()), 3);
  for (const int num_threads : {2, 3}) {
    const TrainingRun more = train(Device(num_threads, false, GetParam()), 3);
    EXPECT_EQ(one.losses, more.losses);
    EXPECT_EQ(one.grad_norms, more.grad_norms);
    EXPECT_EQ(one.first_gradients, more.first_gradients);
    EXPECT_EQ(one.weights, more.weights);
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, LlamaTrain, ::testing::ValuesIn(kCpuLevels),
                         [](const auto& param) { return cpu_level_name(param.param); });

}  // namespace
}  // namespace minke
