// Goal: forward, backward, clipping and AdamW together do what PyTorch does. Method: 20 steps of a
// tiny Llama made of ops, against tests/golden/llama_train.json (PyTorch 2.13, f32; llama_train.py
// beside it has the model and the formulas of weights and tokens).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <string>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/kernels/packed.h"
#include "minke/ops/ops.h"
#include "minke/train/optimizer.h"

namespace minke {
namespace {

constexpr int64_t kVocab = 96, kHidden = 64, kHeads = 4, kKvHeads = 2, kHeadDim = 16, kFfn = 96;
constexpr int64_t kBatch = 2, kSeq = 24;
constexpr double kEps = 1e-5;

Json golden() {
  const char* root = std::getenv("MINKE_SOURCE_DIR");
  const std::string folder = root != nullptr ? root : ".";
  const auto text = read_file(folder + "/tests/golden/llama_train.json");
  EXPECT_TRUE(text.has_value()) << "run in the source folder, or set MINKE_SOURCE_DIR";
  return text ? parse_json(*text).value_or(Json()) : Json();
}

// A weight with its place in the packed layout: a matrix, or a norm (rows = 0).
struct NamedWeight {
  std::string name;
  int64_t rows = 0;
  int64_t cols = 0;
  Tensor storage;
};

class TinyLlama {
 public:
  explicit TinyLlama(const Device& device) : device_(device) {
    add("model.embed_tokens", kVocab, kHidden);
    for (int layer = 0; layer < 2; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      add(prefix + "input_layernorm", 0, kHidden);
      add(prefix + "self_attn.q_proj", kHidden, kHidden);
      add(prefix + "self_attn.k_proj", kKvHeads * kHeadDim, kHidden);
      add(prefix + "self_attn.v_proj", kKvHeads * kHeadDim, kHidden);
      add(prefix + "self_attn.o_proj", kHidden, kHidden);
      add(prefix + "post_attention_layernorm", 0, kHidden);
      add(prefix + "mlp.gate_proj", kFfn, kHidden);
      add(prefix + "mlp.up_proj", kFfn, kHidden);
      add(prefix + "mlp.down_proj", kHidden, kFfn);
    }
    add("model.norm", 0, kHidden);
    make_rope_table();
  }

  const std::vector<NamedWeight>& weights() const { return weights_; }

  // Logits [batch * seq, vocab].
  Tensor forward(const Context& context, std::span<const int32_t> ids) const {
    const ops::Weight embed = matrix(context, "model.embed_tokens");
    Tensor x = ops::embedding(context, embed, ids);
    for (int layer = 0; layer < 2; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      x = ops::add(context, x,
                   attention(context, prefix, norm(context, prefix + "input_layernorm", x)));
      x = ops::add(context, x,
                   ffn(context, prefix, norm(context, prefix + "post_attention_layernorm", x)));
    }
    return ops::linear(context, norm(context, "model.norm", x), embed);
  }

  // A weight's values (or a gradient's, of the same layout) in file order.
  std::vector<float> row_major(const NamedWeight& weight, const Tensor& storage) const {
    const int64_t rows = std::max<int64_t>(weight.rows, 1);
    std::vector<float> values(rows * weight.cols);
    if (weight.rows == 0) {
      std::copy_n(storage.data<float>(), weight.cols, values.begin());
      return values;
    }
    std::vector<int32_t> all(rows);
    for (int64_t i = 0; i < rows; ++i) all[i] = static_cast<int32_t>(i);
    kernels::unpack_rows(
        device_, {storage.view().data, DType::kF32, rows, weight.cols}, all.data(), rows,
        {reinterpret_cast<std::byte*>(values.data()), DType::kF32, rows, weight.cols, weight.cols});
    return values;
  }

 private:
  void add(const std::string& name, int64_t rows, int64_t cols) {
    const auto j = static_cast<double>(weights_.size());
    const bool is_norm = rows == 0;
    std::vector<float> values(std::max<int64_t>(rows, 1) * cols);
    for (size_t i = 0; i < values.size(); ++i) {
      const auto at = static_cast<double>(i);
      values[i] =
          static_cast<float>(is_norm ? 1 + 0.1 * std::sin(0.37 * at + 1.3 * j)
                                     : 0.1 * std::sin(0.37 * at + 1.3 * j + 0.0007 * at * at));
    }
    NamedWeight weight{name + ".weight", rows, cols, {}};
    if (is_norm) {
      weight.storage = Tensor::zeros(DType::kF32, {cols});
      std::copy(values.begin(), values.end(), weight.storage.data<float>());
    } else {
      weight.storage =
          Tensor::zeros(DType::kF32, {kernels::packed_bytes(DType::kF32, rows, cols) / 4});
      kernels::pack(device_, reinterpret_cast<const std::byte*>(values.data()), DType::kF32, rows,
                    cols, weight.storage.view().data);
    }
    index_[name] = weights_.size();
    weights_.push_back(weight);
  }

  void make_rope_table() {
    rope_table_.resize(kSeq * kHeadDim);
    for (int64_t p = 0; p < kSeq; ++p) {
      for (int64_t i = 0; i < kHeadDim / 2; ++i) {
        const double angle =
            static_cast<double>(p) * std::pow(10000.0, -2.0 * static_cast<double>(i) / kHeadDim);
        rope_table_[p * kHeadDim + i] = static_cast<float>(std::cos(angle));
        rope_table_[p * kHeadDim + kHeadDim / 2 + i] = static_cast<float>(std::sin(angle));
      }
    }
    for (int64_t row = 0; row < kBatch * kSeq; ++row) {
      positions_.push_back(static_cast<int32_t>(row % kSeq));
    }
  }

  static Tensor named(const Context& context, const Tensor& storage) {
    return context.tape != nullptr ? context.tape->watch(storage) : storage;
  }
  ops::Weight matrix(const Context& context, const std::string& name) const {
    const NamedWeight& weight = weights_[index_.at(name)];
    return {named(context, weight.storage), DType::kF32, weight.rows, weight.cols};
  }
  Tensor norm(const Context& context, const std::string& name, const Tensor& x) const {
    return ops::rms_norm(context, x, named(context, weights_[index_.at(name)].storage), kEps);
  }

  Tensor attention(const Context& context, const std::string& prefix, const Tensor& x) const {
    const kernels::RopeArgs rope{positions_.data(), rope_table_.data(), kHeadDim,
                                 kernels::RopeStyle::kHalf, false};
    const auto project = [&](const char* part) {
      return ops::linear(context, x, matrix(context, prefix + "self_attn." + part));
    };
    const Tensor q = ops::rope(context, project("q_proj"), rope);
    const Tensor k = ops::rope(context, project("k_proj"), rope);
    const Tensor out =
        ops::attention(context, q, k, project("v_proj"), {kHeads, kKvHeads, kHeadDim, kSeq});
    return ops::linear(context, out, matrix(context, prefix + "self_attn.o_proj"));
  }

  // Gate and up are two matrices here, so their outputs are joined for swiglu.
  Tensor ffn(const Context& context, const std::string& prefix, const Tensor& x) const {
    const Tensor gate = ops::linear(context, x, matrix(context, prefix + "mlp.gate_proj"));
    const Tensor up = ops::linear(context, x, matrix(context, prefix + "mlp.up_proj"));
    const Tensor hidden = ops::swiglu(context, join(context, gate, up));
    return ops::linear(context, hidden, matrix(context, prefix + "mlp.down_proj"));
  }

  // [a | b], recorded: an op of this test's own.
  static Tensor join(const Context& context, const Tensor& a, const Tensor& b) {
    const int64_t n = a.size(0), width = a.size(1);
    const Tensor y = context.empty(DType::kF32, {n, 2 * width});
    for (int64_t i = 0; i < n; ++i) {
      std::copy_n(a.data<float>() + i * width, width, y.data<float>() + i * 2 * width);
      std::copy_n(b.data<float>() + i * width, width, y.data<float>() + (i * 2 + 1) * width);
    }
    if (!context.records(a, b)) return y;
    const Device& device = context.device;
    return context.tape->record(
        "join", {a.var(), b.var()}, y, [&device, n, width](const Tensor& dy) {
          const Context no_tape{device, nullptr};
          const Tensor d_a = no_tape.empty(DType::kF32, {n, width});
          const Tensor d_b = no_tape.empty(DType::kF32, {n, width});
          for (int64_t i = 0; i < n; ++i) {
            std::copy_n(dy.data<float>() + i * 2 * width, width, d_a.data<float>() + i * width);
            std::copy_n(dy.data<float>() + (i * 2 + 1) * width, width,
                        d_b.data<float>() + i * width);
          }
          return std::vector<Tensor>{d_a, d_b};
        });
  }

  const Device& device_;
  std::vector<NamedWeight> weights_;
  std::map<std::string, size_t> index_;
  std::vector<float> rope_table_;
  std::vector<int32_t> positions_;
};

struct Batch {
  std::vector<int32_t> inputs;
  std::vector<int32_t> targets;
};
Batch make_batch(int64_t step) {
  Batch batch;
  const auto token = [&](int64_t b, int64_t p) {
    return static_cast<int32_t>((7 * p + 13 * b + 5 * (step % 4) + p * p * (b + 1)) % kVocab);
  };
  for (int64_t b = 0; b < kBatch; ++b) {
    for (int64_t p = 0; p < kSeq; ++p) {
      batch.inputs.push_back(token(b, p));
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
  TinyLlama model(device);
  AdamW optimizer({.beta1 = 0.9, .beta2 = 0.95, .epsilon = 1e-8, .weight_decay = 0.1});
  TrainingRun run;
  for (int step = 0; step < num_steps; ++step) {
    Tape tape;
    const Context context{device, &tape};
    const Batch batch = make_batch(step);
    const Tensor logits = model.forward(context, batch.inputs);
    const Tensor loss = ops::cross_entropy(context, logits, batch.targets);
    tape.backward(device, loss);
    std::vector<TrainedTensor> tensors;
    for (const NamedWeight& weight : model.weights()) {
      const Tensor grad = tape.grad(tape.watch(weight.storage));
      tensors.push_back({weight.storage, grad, weight.rows > 0});
      if (step == 0) run.first_gradients[weight.name] = model.row_major(weight, grad);
    }
    if (step == 0)
      run.first_logits.assign(logits.span<float>().begin(), logits.span<float>().end());
    run.losses.push_back(*loss.data<float>());
    run.grad_norms.push_back(clip_gradient_norm(device, tensors, 1.0));
    optimizer.step(device, tensors, 1e-3);
  }
  for (const NamedWeight& weight : model.weights()) {
    run.weights[weight.name] = model.row_major(weight, weight.storage);
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

INSTANTIATE_TEST_SUITE_P(Levels, LlamaTrain,
                         ::testing::Values(CpuLevel::kRef, CpuLevel::kAvx2, CpuLevel::kAvx512Vnni),
                         [](const auto& param) { return cpu_level_name(param.param); });

}  // namespace
}  // namespace minke
