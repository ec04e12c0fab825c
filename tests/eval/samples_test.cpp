// Goal: samples are what the model, as it is now, would say. Method: a tiny new model, greedy,
// against the argmax of its training forward over the growing text.
#include "minke/eval/samples.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "minke/models/new_model.h"
#include "tests/text/tiny_vocabulary.h"

namespace minke {
namespace {

constexpr const char* kConfig = R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"],
  "vocab_size": 256, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
  "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "rms_norm_eps": 1e-5,
  "rope_theta": 10000.0, "max_position_embeddings": 64, "tie_word_embeddings": true,
  "initializer_range": 0.4})";

class SamplesTest : public testing::Test {
 protected:
  SamplesTest()
      : device_(2, false, CpuLevel::kRef), tokenizer_(tokenizer_of(TinyVocabulary()).value()) {
    auto model = new_model(device_, kConfig, {.seed = 5});
    EXPECT_TRUE(model) << model.error().message;
    model_ = std::move(*model);
  }

  std::string greedy(std::string text, int count) const {
    std::vector<int32_t> ids = tokenizer_.encode(text);
    const size_t length = ids.size();
    for (int i = 0; i < count; ++i) {
      ForwardBatch batch;
      batch.tokens = ids;
      batch.positions.resize(ids.size());
      std::iota(batch.positions.begin(), batch.positions.end(), 0);
      batch.seq_len = static_cast<int64_t>(ids.size());
      const Tensor logits = model_->forward(Context{device_}, batch);
      const float* row = logits.view().row<float>(logits.size(0) - 1);
      ids.push_back(static_cast<int32_t>(std::max_element(row, row + 256) - row));
    }
    return tokenizer_.decode(std::span(ids).subspan(length));
  }

  Device device_;
  Tokenizer tokenizer_;
  std::unique_ptr<Model> model_;
};

TEST_F(SamplesTest, AreTheModelsOwnContinuations) {
  SampleOptions options{.num_tokens = 12, .sampling = {}};
  options.sampling.temperature = 0.0;
  const auto samples = draw_samples(device_, *model_, tokenizer_, {"To be", "O", "Romeo"}, options);
  ASSERT_TRUE(samples) << samples.error().message;
  ASSERT_EQ(samples->size(), 3u);
  for (const Sample& sample : *samples) EXPECT_EQ(sample.text, greedy(sample.prompt, 12));

  float* weights = model_->parameters().parameters()[0].value.data<float>();
  for (int i = 0; i < 256 * 32; ++i) weights[i] = -weights[i] + 0.1f * static_cast<float>(i % 7);
  model_->parameters().changed();
  const auto changed = draw_samples(device_, *model_, tokenizer_, {"To be"}, options);
  ASSERT_TRUE(changed);
  EXPECT_EQ((*changed)[0].text, greedy("To be", 12));
  EXPECT_NE((*changed)[0].text, (*samples)[0].text);
}

TEST_F(SamplesTest, TheSeedDecidesAndEachPromptHasItsOwn) {
  SampleOptions options{.num_tokens = 16, .sampling = {}};
  options.sampling.seed = 3;
  const auto draw = [&] {
    auto samples = draw_samples(device_, *model_, tokenizer_, {"A", "A"}, options);
    EXPECT_TRUE(samples) << samples.error().message;
    return *samples;
  };
  const std::vector<Sample> first = draw();
  EXPECT_NE(first[0].text, first[1].text);
  EXPECT_EQ(first[1].text, draw()[1].text);
  options.sampling.seed = 4;
  EXPECT_EQ(first[1].text, draw()[0].text) << "prompt i is drawn with the seed plus i";
}

TEST_F(SamplesTest, WhatDoesNotFitIsAnErrorAndNoPromptsAreNoWork) {
  const SampleOptions options{.num_tokens = 30, .context_tokens = 40, .sampling = {}};
  const auto samples = draw_samples(device_, *model_, tokenizer_, {std::string(40, 'x')}, options);
  ASSERT_FALSE(samples);
  EXPECT_EQ(samples.error().code, ErrorCode::kUsage);
  EXPECT_TRUE(draw_samples(device_, *model_, tokenizer_, {}, {})->empty());
  const auto cut = draw_samples(device_, *model_, tokenizer_, {std::string(37, 'x')}, options);
  ASSERT_TRUE(cut) << cut.error().message;
  EXPECT_EQ((*cut)[0].text.size(), 3u) << "the context ends it";
}

}  // namespace
}  // namespace minke
