// Goal: one forward for training and serving. Method: small random Llamas; the bits of the logits
// with and without a tape, cached in chunks of any size, for any number of threads; files that lie.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "minke/nn/attention.h"
#include "tests/models/cached_logits.h"
#include "tests/models/tiny_llama.h"

namespace minke {
namespace {

std::vector<int32_t> random_tokens(int64_t count, int64_t vocab, uint64_t seed) {
  Random random(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random.below(vocab));
  return tokens;
}

std::vector<float> cached_logits(const TinyLlama& tiny, const std::vector<int32_t>& tokens,
                                 size_t chunk, DType kv_dtype) {
  return cached_logits(*tiny.device, *tiny.model, tokens, chunk, kv_dtype);
}

// Logits of the same sequence without a cache, as in training.
std::vector<float> training_logits(const TinyLlama& tiny, const std::vector<int32_t>& tokens,
                                   Tape* tape) {
  ForwardBatch batch;
  batch.tokens = tokens;
  batch.positions.resize(tokens.size());
  std::iota(batch.positions.begin(), batch.positions.end(), 0);
  batch.seq_len = static_cast<int64_t>(tokens.size());
  const Tensor logits = tiny.model->forward({*tiny.device, tape}, batch);
  return {logits.span<float>().begin(), logits.span<float>().end()};
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(Llama, gives_the_same_bits_for_every_chunking_and_thread_count) {
  for (const CpuLevel level : supported_levels()) {
    for (const Precision precision : {Precision::kF32, Precision::kInt8}) {
      TinyLlamaShape shape;
      shape.matrices = precision == Precision::kInt8 ? DType::kQ4_1 : DType::kQ8_0;
      const DType kv = precision == Precision::kInt8 ? DType::kF16 : DType::kF32;
      const TinyLlama one = TinyLlama::make(shape, precision, 1, level);
      const auto tokens = random_tokens(150, shape.vocab, 3);
      const std::vector<float> whole = cached_logits(one, tokens, tokens.size(), kv);
      for (const size_t chunk : {1, 2, 7, 63, 64, 65, 128}) {
        EXPECT_TRUE(same_bits(whole, cached_logits(one, tokens, chunk, kv)))
            << cpu_level_name(level) << " " << precision_name(precision) << " chunk " << chunk;
      }
      for (const int threads : {2, 3}) {
        const TinyLlama more = TinyLlama::make(shape, precision, threads, level);
        EXPECT_TRUE(same_bits(whole, cached_logits(more, tokens, 50, kv)))
            << cpu_level_name(level) << " " << precision_name(precision) << " threads " << threads;
      }
    }
  }
}

TEST(Llama, gives_the_same_bits_with_and_without_tape_and_cache_in_f32) {
  for (const CpuLevel level : supported_levels()) {
    for (const DType matrices : {DType::kF32, DType::kBf16, DType::kQ4_1}) {
      TinyLlamaShape shape;
      shape.matrices = matrices;
      const TinyLlama tiny = TinyLlama::make(shape, Precision::kF32, 2, level);
      const auto tokens = random_tokens(133, shape.vocab, 4);
      const std::vector<float> served = cached_logits(tiny, tokens, 40, DType::kF32);
      EXPECT_TRUE(same_bits(served, training_logits(tiny, tokens, nullptr)));
      Tape tape;
      EXPECT_TRUE(same_bits(served, training_logits(tiny, tokens, &tape)));
    }
  }
}

TEST(Llama, computes_the_logits_of_chosen_rows_only_and_alike) {
  const TinyLlama tiny = TinyLlama::make({}, Precision::kF32, 1, supported_levels().front());
  const auto tokens = random_tokens(20, 117, 5);
  const std::vector<float> all = training_logits(tiny, tokens, nullptr);
  ForwardBatch batch;
  batch.tokens = tokens;
  batch.positions.resize(tokens.size());
  std::iota(batch.positions.begin(), batch.positions.end(), 0);
  batch.seq_len = 20;
  batch.logit_rows = {19, 3};
  const Tensor chosen = tiny.model->forward({*tiny.device}, batch);
  ASSERT_EQ(chosen.shape(), (Shape{2, 117}));
  EXPECT_EQ(std::memcmp(chosen.view().row<float>(0), &all[19 * 117], 117 * sizeof(float)), 0);
  EXPECT_EQ(std::memcmp(chosen.view().row<float>(1), &all[3 * 117], 117 * sizeof(float)), 0);
}

TEST(Llama, int8_stays_near_f32) {
  for (const DType matrices : {DType::kQ4_0, DType::kQ4_1, DType::kQ8_0}) {
    TinyLlamaShape shape;
    shape.matrices = matrices;
    const auto tokens = random_tokens(40, shape.vocab, 6);
    const CpuLevel best = supported_levels().front();
    const TinyLlama exact = TinyLlama::make(shape, Precision::kF32, 1, best);
    const TinyLlama fast = TinyLlama::make(shape, Precision::kInt8, 1, best);
    const std::vector<float> a = cached_logits(exact, tokens, 40, DType::kF32);
    const std::vector<float> b = cached_logits(fast, tokens, 40, DType::kF16);
    double difference = 0.0, size = 0.0;
    for (size_t i = 0; i < a.size(); ++i) {
      difference += (a[i] - b[i]) * (a[i] - b[i]);
      size += a[i] * a[i];
    }
    EXPECT_LT(difference, 2e-3 * size) << dtype_info(matrices).name;
    EXPECT_GT(difference, 0.0) << "int8 did not run";
  }
}

TEST(Llama, refuses_files_that_contradict_themselves) {
  const auto error_of = [](const TinyLlamaShape& shape, const char* cut) -> std::string {
    std::string bytes = tiny_llama_gguf(shape, 1);
    if (cut != nullptr) {
      const size_t at = bytes.find(cut);
      EXPECT_NE(at, std::string::npos);
      bytes[at] = '#';
    }
    const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
    if (!file) return file.error().message;
    const auto config = config_from_gguf(*file);
    if (!config) return config.error().message;
    const Device device(1, false, CpuLevel::kRef);
    const auto model = load_model(device, *file, *config, {});
    return model ? "" : model.error().message;
  };
  EXPECT_EQ(error_of({}, nullptr), "");
  EXPECT_NE(error_of({}, "blk.1.ffn_up.weight").find("no tensor 'blk.1.ffn_up.weight'"),
            std::string::npos);
  EXPECT_NE(error_of({}, "token_embd.weight").find("token_embd.weight"), std::string::npos);
  EXPECT_NE(error_of({}, "llama.block_count").find("llama.block_count"), std::string::npos);
  EXPECT_NE(error_of({}, "general.architecture").find("general.architecture"), std::string::npos);
  TinyLlamaShape uneven;
  uneven.heads = 5;
  EXPECT_NE(error_of(uneven, nullptr), "");
}

TEST(Llama, names_the_architectures_it_has_when_asked_for_another) {
  GgufWriter writer;
  writer.add("general.architecture", "mamba9");
  const std::string bytes = writer.serialize();
  const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
  ASSERT_TRUE(file);
  const auto config = config_from_gguf(*file);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().code, ErrorCode::kUsage);
  EXPECT_NE(config.error().message.find("mamba9"), std::string::npos);
  EXPECT_NE(config.error().message.find("llama"), std::string::npos);
}

}  // namespace
}  // namespace minke
