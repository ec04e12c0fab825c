// Goal: MTP modules give the logits that transformers' MtpModel gives, whatever the chunks, and
// their gradients are right. Method: tests/golden/hf_models.py; finite differences.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <numeric>

#include "minke/format/safetensors.h"
#include "minke/models/model_file.h"
#include "minke/ops/ops.h"
#include "tests/golden/golden_path.h"
#include "tests/models/golden_tensors.h"
#include "tests/models/tiny_deepseek.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder() { return golden_path("hf/deepseek-v3-mtp"); }

std::unique_ptr<Model> golden_model(const Device& device, const LoadOptions& options) {
  const auto file = ModelFile::open(golden_folder());
  EXPECT_TRUE(file) << file.error().message;
  auto model = load_model(device, file->weights(), file->config(), options);
  EXPECT_TRUE(model) << model.error().message;
  return std::move(*model);
}

// Rows [begin, end) of a sequence: those of forward(), or with a depth those of forward_mtp().
ForwardBatch rows_of(const std::vector<int32_t>& ids, size_t begin, size_t end, size_t depth) {
  ForwardBatch batch;
  batch.tokens.assign(ids.begin() + begin + depth, ids.begin() + end + depth);
  batch.positions.resize(end - begin);
  std::iota(batch.positions.begin(), batch.positions.end(), static_cast<int32_t>(begin));
  return batch;
}

// Logits of each depth [ids.size() - depth, vocab], read through the cache in chunks.
std::vector<std::vector<float>> mtp_logits(const Device& device, const Model& model,
                                           const std::vector<int32_t>& ids, size_t chunk) {
  kernels::KvPages kv = model.config().kv_pages(DType::kF32);
  const auto num_pages = static_cast<int64_t>(ids.size()) / kernels::kPageTokens + 1;
  const Tensor memory = Tensor::zeros(DType::kI8, {num_pages, kv.page_bytes()});
  kv.data = memory.view().data;
  std::vector<int32_t> pages(static_cast<size_t>(num_pages));
  std::iota(pages.rbegin(), pages.rend(), 0);
  const auto depths = static_cast<size_t>(model.config().num_nextn_predict_layers);
  std::vector<std::vector<float>> logits(depths);
  for (size_t begin = 0; begin < ids.size(); begin += chunk) {
    Tensor hidden;
    for (size_t depth = 0; depth <= depths; ++depth) {
      const size_t end = std::min(begin + chunk, ids.size() - depth);
      if (begin >= end) break;
      ForwardBatch batch = rows_of(ids, begin, end, depth);
      const auto num_rows = static_cast<int64_t>(end - begin);
      batch.kv = {kv, {{0, num_rows, static_cast<int64_t>(begin), pages.data()}}};
      if (depth == 0) {
        model.forward({device}, batch, &hidden);
        continue;
      }
      hidden = hidden.rows(0, num_rows);
      const Tensor found = model.forward_mtp({device}, batch, static_cast<int64_t>(depth), hidden);
      auto& all = logits[depth - 1];
      all.insert(all.end(), found.span<float>().begin(), found.span<float>().end());
    }
  }
  return logits;
}

TEST(Mtp, GivesTheLogitsOfTransformersAtEveryDepthAndNotThoseOfTheOtherOrder) {
  const auto expected = SafetensorsFile::open(golden_folder() / "expected.safetensors");
  ASSERT_TRUE(expected) << expected.error().message;
  const auto ids = golden_values<int32_t>(*expected, "ids");
  for (const CpuLevel level : supported_levels()) {
    const Device device(2, false, level);
    const auto model = golden_model(device, {Precision::kF32, 128, {}, 9});
    ASSERT_EQ(model->config().num_nextn_predict_layers, 2);
    const auto whole = mtp_logits(device, *model, ids, 512);
    for (size_t k = 0; k < 2; ++k) {
      const auto golden = golden_values<float>(*expected, fmt::format("mtp_logits_{}", k + 1));
      const auto swapped = golden_values<float>(*expected, fmt::format("mtp_swapped_{}", k + 1));
      EXPECT_LE(worst_difference(whole[k], golden), 2e-4f) << k << cpu_level_name(level);
      EXPECT_GE(worst_difference(whole[k], swapped), 1.0f) << "eh_proj's order makes a difference";
    }
    EXPECT_EQ(mtp_logits(device, *model, ids, 7), whole) << "chunks change bits";
    EXPECT_EQ(mtp_logits(device, *model, ids, 1), whole) << "chunks change bits";
  }
}

TEST(Mtp, LoadsAsManyModulesAsAreAskedForAndThere) {
  const Device device(1, false, supported_levels().front());
  const auto none = golden_model(device, {Precision::kF32, 128});
  const auto one = golden_model(device, {Precision::kF32, 128, {}, 1});
  EXPECT_EQ(none->config().num_nextn_predict_layers, 0);
  EXPECT_EQ(one->config().num_nextn_predict_layers, 1);
  const int64_t layers = one->config().num_hidden_layers;
  EXPECT_EQ(none->config().kv_token_bytes(DType::kF32) * (layers + 1),
            one->config().kv_token_bytes(DType::kF32) * layers);
  EXPECT_LT(none->parameters().num_elements(), one->parameters().num_elements());
}

TEST(Mtp, ReadsTheModuleOfAGgufFileWhichCountsItAmongTheBlocks) {
  const auto tiny = TinyDeepSeek::make({}, {Precision::kF32, 0, {}, 1});
  EXPECT_EQ(tiny.model->config().num_hidden_layers, 2);
  ASSERT_EQ(tiny.model->config().num_nextn_predict_layers, 1);
  // Each token is followed by the next number, and the module says the one after that.
  const std::vector<int32_t> ids = {40, 3, 116, 7, 8};
  const std::vector<float> logits = mtp_logits(*tiny.device, *tiny.model, ids, 2).front();
  const auto vocab = static_cast<size_t>(tiny.model->config().vocab_size);
  ASSERT_EQ(logits.size(), 4 * vocab);
  for (size_t i = 0; i < 4; ++i) {
    const auto row = logits.begin() + static_cast<std::ptrdiff_t>(i * vocab);
    EXPECT_EQ(std::max_element(row, row + static_cast<std::ptrdiff_t>(vocab)) - row,
              (ids[i + 1] + 1) % 117);
  }
}

TEST(Mtp, RefusesAFileWhoseBlocksAreAllForMtp) {
  TinyDeepSeekShape shape;
  shape.layers = 0;
  const std::string bytes = TinyDeepSeekWriter(shape, 1).write();
  const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(file) << file.error().message;
  const auto config = config_from_gguf(*file);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(config.error().message.find("1 of 1 blocks"), std::string::npos)
      << config.error().message;
}

// DeepSeek-V3, eq. 24 and 25: the mean cross entropy of token i + 2 given row i, over rows that
// have one. Two sequences of five tokens each, and the tokens after them.
double mtp_loss(const TinyDeepSeek& tiny, Tape* tape) {
  constexpr int64_t kSeq = 5;
  const std::vector<int32_t> inputs = {1, 9, 33, 4, 80, 5, 5, 70, 2, 3};
  const std::vector<int32_t> next = {9, 33, 4, 80, 81, 5, 70, 2, 3, 11};
  const std::vector<int32_t> targets = {33, 4, 80, 81, -1, 70, 2, 3, 11, -1};
  const Context context{*tiny.device, tape};
  ForwardBatch batch;
  batch.seq_len = kSeq;
  batch.tokens = inputs;
  for (int32_t i = 0; i < 10; ++i) batch.positions.push_back(i % kSeq);
  Tensor hidden;
  tiny.model->forward(context, batch, &hidden);
  batch.tokens = next;
  const Tensor logits = tiny.model->forward_mtp(context, batch, 1, hidden);
  const Tensor loss = ops::cross_entropy(context, logits, targets);
  if (tape != nullptr) tape->backward(*tiny.device, loss);
  return static_cast<double>(*loss.data<float>());
}

TEST(Mtp, LossHasTheGradientsOfFiniteDifferencesAndTheBitsOfAForwardWithoutTape) {
  TinyDeepSeekShape shape;
  shape.noise = 0.7;
  const auto tiny = TinyDeepSeek::make(shape, {Precision::kF32, 0, {}, 1});
  Tape tape;
  EXPECT_EQ(mtp_loss(tiny, &tape), mtp_loss(tiny, nullptr));
  Random random(3);
  int num_checked = 0;
  for (const Parameter& parameter : tiny.model->parameters().parameters()) {
    const Tensor grad = tape.grad(tape.watch(parameter.value));
    // The routing's bias and, of the main model, the head get no gradient; nor need experts that
    // no row chose.
    if (!grad.defined()) continue;
    double slope = 0.0;  // along a random direction, in which the weights then move
    std::vector<float> direction(static_cast<size_t>(parameter.value.num_elements()));
    for (size_t i = 0; i < direction.size(); ++i) {
      direction[i] = static_cast<float>(random.normal());
      slope += static_cast<double>(direction[i]) * grad.data<float>()[i];
    }
    const auto loss_at = [&](float step) {
      float* values = parameter.value.data<float>();
      std::vector<float> kept(values, values + direction.size());
      for (size_t i = 0; i < direction.size(); ++i) values[i] += step * direction[i];
      const double loss = mtp_loss(tiny, nullptr);
      std::copy(kept.begin(), kept.end(), values);
      return loss;
    };
    constexpr float kStep = 2e-4f;
    const double found = (loss_at(kStep) - loss_at(-kStep)) / (2.0 * static_cast<double>(kStep));
    EXPECT_NEAR(slope, found, 0.02 * std::abs(found) + 1e-2) << parameter.names.front();
    num_checked += std::abs(found) > 0.02 ? 1 : 0;
  }
  EXPECT_GE(num_checked, 25);
}

}  // namespace
}  // namespace minke
