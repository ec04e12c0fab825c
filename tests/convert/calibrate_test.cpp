// Goal: the importance of an input is the sum of its squares over the text, whatever the threads
// and the precision's path through a Linear. Method: golden models of every shape; the inputs of
// first matrices recomputed plainly; counts of experts against what each token must choose.
#include "minke/convert/calibrate.h"

#include <gtest/gtest.h>

#include <cmath>

#include "minke/models/model_file.h"
#include "minke/models/registry.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kChunk = 24;

struct Loaded {
  std::unique_ptr<Device> device;
  std::unique_ptr<ModelFile> file;
  std::unique_ptr<Model> model;

  explicit Loaded(const std::string& name, int num_threads = 1,
                  Precision precision = Precision::kF32) {
    const fs::path folder = golden_path("hf") / name;
    device = std::make_unique<Device>(num_threads, false, CpuLevel::kRef);
    auto opened = ModelFile::open(folder);
    EXPECT_TRUE(opened) << opened.error().message;
    file = std::make_unique<ModelFile>(*std::move(opened));
    auto loaded = load_model(*device, file->weights(), file->config(), {precision, kChunk});
    EXPECT_TRUE(loaded) << loaded.error().message;
    model = *std::move(loaded);
  }
  Result<Importance> calibrate(std::span<const int32_t> ids, CalibrateOptions options = {},
                               int32_t bos = -1) {
    options.chunk_tokens = kChunk;
    return minke::calibrate(*device, *model, ids, bos, options);
  }
  std::vector<float> values(const std::string& tensor) const {
    const WeightInfo* info = file->weights().find(tensor);
    EXPECT_NE(info, nullptr) << tensor;
    std::vector<float> out(static_cast<size_t>(info->shape.num_elements()));
    decode_rows(*info, 0, info->shape.num_rows(), out.data());
    return out;
  }
};

std::vector<int32_t> some_ids(size_t count) {
  std::vector<int32_t> ids(count);
  for (size_t i = 0; i < count; ++i) ids[i] = static_cast<int32_t>((i * i + 3 * i) % 61);
  return ids;
}

// Sums of the squares of what the first layer's queries are made from: normed embeddings.
std::vector<double> plain_sums(const Loaded& run, std::span<const int32_t> ids) {
  const std::vector<float> table = run.values("token_embd.weight");
  const std::vector<float> norm = run.values("blk.0.attn_norm.weight");
  std::vector<double> sums(norm.size());
  for (const int32_t id : ids) {
    const float* x = table.data() + static_cast<size_t>(id) * norm.size();
    double squares = 0;
    for (size_t i = 0; i < norm.size(); ++i) squares += static_cast<double>(x[i]) * x[i];
    const double scale = 1 / std::sqrt(squares / static_cast<double>(norm.size()) +
                                       run.model->config().rms_norm_eps);
    for (size_t i = 0; i < norm.size(); ++i) {
      const double input = static_cast<double>(x[i]) * scale * norm[i];
      sums[i] += input * input;
    }
  }
  return sums;
}

void expect_near(const InputSquares* found, const std::vector<double>& expected) {
  ASSERT_NE(found, nullptr);
  ASSERT_EQ(found->sums.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(found->sums[i], expected[i], 1e-5 * (1 + expected[i])) << i;
  }
}

TEST(Calibrate, SumsAreThoseOfThePlainInputs) {
  for (const char* name : {"llama3", "qwen3-moe", "deepseek-v2"}) {
    SCOPED_TRACE(name);
    Loaded run(name);
    const std::vector<int32_t> ids = some_ids(2 * kChunk + 5);
    const auto found = run.calibrate(ids);
    ASSERT_TRUE(found) << found.error().message;
    const auto expected = plain_sums(run, std::span(ids).first(2 * kChunk));
    const bool is_mla = run.model->config().mla.kv_lora_rank > 0;
    expect_near(found->find(is_mla ? "blk.0.attn_kv_a_mqa.weight" : "blk.0.attn_k.weight"),
                expected);
    EXPECT_EQ(found->find("token_embd.weight"), nullptr);
    for (const Parameter& parameter : run.model->parameters().parameters()) {
      EXPECT_EQ(parameter.inputs, nullptr);  // taken away again
    }
  }
}

TEST(Calibrate, ChunksBeginWithBosAndMayBeFew) {
  Loaded run("llama3");
  std::vector<int32_t> ids = some_ids(3 * kChunk);
  CalibrateOptions options;
  options.chunks_max = 2;
  const auto found = run.calibrate(ids, options, 7);
  ASSERT_TRUE(found);
  ids[0] = ids[kChunk] = 7;
  expect_near(found->find("blk.0.attn_q.weight"),
              plain_sums(run, std::span(ids).first(2 * kChunk)));
  const auto shorter = run.calibrate(some_ids(10));
  ASSERT_TRUE(shorter);
  EXPECT_EQ(shorter->find("blk.0.attn_q.weight")->counts, std::vector<double>{10});
}

TEST(Calibrate, EachTokenCountsForTheExpertsThatItChooses) {
  for (const char* name : {"qwen3-moe", "deepseek-v2", "deepseek-v3"}) {
    SCOPED_TRACE(name);
    Loaded run(name);
    const auto found = run.calibrate(some_ids(4 * kChunk));
    ASSERT_TRUE(found) << found.error().message;
    const MoeConfig& moe = run.model->config().moe;
    int64_t layers = 0;
    for (int64_t layer = 0; layer < run.model->config().num_hidden_layers; ++layer) {
      if (!moe.has_experts(layer)) continue;
      ++layers;
      const auto* gate = found->find(fmt::format("blk.{}.ffn_gate_exps.weight", layer));
      const auto* down = found->find(fmt::format("blk.{}.ffn_down_exps.weight", layer));
      ASSERT_TRUE(gate != nullptr && down != nullptr);
      ASSERT_EQ(gate->counts.size(), static_cast<size_t>(moe.n_routed_experts));
      EXPECT_EQ(gate->counts, down->counts);
      double count = 0;
      for (const double of_expert : gate->counts) count += of_expert;
      EXPECT_EQ(count, 4.0 * kChunk * static_cast<double>(moe.routing.top_k));
      EXPECT_EQ(down->cols, moe.moe_intermediate_size);
    }
    EXPECT_GT(layers, 0);
  }
}

TEST(Calibrate, HeadsOfMlaShareTheLatentAndFitTheSplitTensor) {
  Loaded run("deepseek-v3");
  const auto found = run.calibrate(some_ids(kChunk));
  ASSERT_TRUE(found);
  const ModelConfig& config = run.model->config();
  const auto* joined = found->find("blk.0.attn_kv_b.weight");
  const auto* values = found->find("blk.0.attn_v_b.weight");
  ASSERT_TRUE(joined != nullptr && values != nullptr);
  EXPECT_EQ(found->find("blk.0.attn_k_b.weight"), nullptr);
  EXPECT_EQ(values->counts.size(), static_cast<size_t>(config.num_attention_heads));
  EXPECT_EQ(joined->cols, config.mla.kv_lora_rank);
  const auto weights =
      found->weights("blk.0.attn_v_b.weight", config.num_attention_heads, config.mla.kv_lora_rank);
  ASSERT_TRUE(weights) << weights.error().message;
  EXPECT_GT(weights->size(), 0u);
}

TEST(Calibrate, NeitherThreadsNorTheRecordChangeWhatIsFound) {
  const std::vector<int32_t> ids = some_ids(2 * kChunk);
  for (const char* name : {"qwen3-moe", "deepseek-v3-fp8"}) {
    SCOPED_TRACE(name);
    Loaded one(name, 1), three(name, 3);
    const auto a = one.calibrate(ids), b = three.calibrate(ids), again = one.calibrate(ids);
    ASSERT_TRUE(a && b && again);
    ASSERT_EQ(a->size(), b->size());
    for (const Parameter& parameter : one.model->parameters().parameters()) {
      for (const std::string& tensor : parameter.names) {
        const InputSquares* found = a->find(tensor);
        if (found == nullptr) continue;
        EXPECT_EQ(found->sums, b->find(tensor)->sums) << tensor;
        EXPECT_EQ(found->sums, again->find(tensor)->sums) << tensor;
      }
    }
  }
}

// Integer products never see the plain inputs, so they must step aside while these are recorded.
TEST(Calibrate, Int8ModelsAreRecordedToo) {
  Loaded plain("deepseek-v3-fp8"), int8("deepseek-v3-fp8", 2, Precision::kInt8);
  const std::vector<int32_t> ids = some_ids(kChunk);
  const auto a = plain.calibrate(ids), b = int8.calibrate(ids);
  ASSERT_TRUE(a && b);
  for (const char* tensor :
       {"blk.0.attn_output.weight", "blk.0.ffn_down.weight", "blk.1.ffn_down_shexp.weight"}) {
    const InputSquares *x = a->find(tensor), *y = b->find(tensor);
    ASSERT_TRUE(x != nullptr && y != nullptr) << tensor;
    double sum_x = 0, sum_y = 0;
    for (const double value : x->sums) sum_x += value;
    for (const double value : y->sums) sum_y += value;
    EXPECT_EQ(x->counts, y->counts) << tensor;
    EXPECT_NEAR(sum_y / sum_x, 1, 0.1) << tensor;
  }
}

TEST(Calibrate, WhatIsWrittenIsReadBack) {
  Loaded run("deepseek-v3");
  const auto found = run.calibrate(some_ids(2 * kChunk));
  ASSERT_TRUE(found);
  const ScratchFolder folder;
  const fs::path path = folder.path() / "imatrix.gguf";
  ASSERT_TRUE(found->write(path, "a text"));
  const auto read = Importance::open(path);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->size(), found->size());
  const InputSquares *before = found->find("blk.1.ffn_up_exps.weight"),
                     *after = read->find("blk.1.ffn_up_exps.weight");
  ASSERT_TRUE(before != nullptr && after != nullptr);
  EXPECT_EQ(before->counts, after->counts);
  for (size_t i = 0; i < before->sums.size(); ++i) {
    EXPECT_FLOAT_EQ(static_cast<float>(before->sums[i]), static_cast<float>(after->sums[i]));
  }
  EXPECT_EQ(GgufFile::open(path)->get_uint("imatrix.chunk_count").value_or(0), 2u);
}

TEST(Calibrate, ImpossibleTextsAreToldAndCtrlCStops) {
  Loaded run("llama3");
  EXPECT_EQ(run.calibrate(some_ids(1)).error().code, ErrorCode::kUsage);
  const std::vector<int32_t> outside = {1, 2, 100000};
  EXPECT_NE(run.calibrate(outside).error().message.find("100000"), std::string::npos);
  CalibrateOptions options;
  options.progress = [](int64_t, int64_t) { return false; };
  EXPECT_EQ(run.calibrate(some_ids(60), options).error().code, ErrorCode::kInterrupted);
}

}  // namespace
}  // namespace minke
