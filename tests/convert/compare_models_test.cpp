// Goal: a conversion of a model is the same model, and each way in which two can differ is told.
// Method: golden checkpoints, converted or quantised, and with one thing changed in a copy.
#include "minke/convert/compare_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "minke/base/files.h"
#include "minke/base/random.h"
#include "minke/convert/convert.h"
#include "minke/format/gguf_writer.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder(const std::string& name) { return golden_path("hf") / name; }

ModelComparison compare(const fs::path& a, const fs::path& b, int num_threads = 2) {
  CompareOptions options;
  options.num_threads = num_threads;
  auto result = compare_models(a, b, options);
  EXPECT_TRUE(result) << a << " " << b << ": " << result.error().message;
  return result ? *std::move(result) : ModelComparison{};
}

std::string told(const ModelComparison& found) {
  std::string out;
  for (const auto& tensor : found.tensors) {
    out += fmt::format("{} {} {}\n", tensor.name, tensor.what, tensor.relative_error);
  }
  for (const auto& text : found.config) out += text + "\n";
  for (const auto& text : found.tokenizer) out += text + "\n";
  return out;
}

TEST(CompareModels, AConversionIsTheSameModel) {
  int64_t converted = 0;
  for (const auto& entry : fs::directory_iterator(golden_folder(""))) {
    SCOPED_TRACE(entry.path().filename().string());
    const ScratchFolder folder;
    const fs::path gguf = folder.path() / "model.gguf", back = folder.path() / "back";
    ConvertOptions options;
    options.type = DType::kF32;
    if (!convert_model(entry.path(), gguf, options)) continue;  // what GGUF cannot say
    ASSERT_TRUE(convert_model(gguf, back, {}));
    for (const fs::path& other : {gguf, back}) {
      const ModelComparison found = compare(entry.path(), other);
      EXPECT_TRUE(found.same(0)) << told(found);
      EXPECT_GT(found.num_tensors, 10);
    }
    EXPECT_TRUE(compare(gguf, back).same(0)) << told(compare(gguf, back));
    ++converted;
  }
  EXPECT_GE(converted, 7);
}

TEST(CompareModels, MtpModulesOfFoldersCount) {
  const ScratchFolder folder;
  const fs::path gguf = folder.path() / "model.gguf", back = folder.path() / "back";
  const fs::path source = golden_folder("deepseek-v3-mtp"), without = folder.path() / "without";
  fs::copy(source, without);
  std::string config = read_file(without / "config.json").value();
  const std::string key = "\"num_nextn_predict_layers\": ";
  config.replace(config.find(key), key.size() + 1, key + "0");
  ASSERT_TRUE(write_file_atomic(without / "config.json", config));
  ASSERT_TRUE(convert_model(without, gguf, {}));
  ASSERT_TRUE(convert_model(gguf, back, {}));
  const ModelComparison found = compare(source, back);
  EXPECT_FALSE(found.same(1));
  EXPECT_NE(told(found).find("eh_proj.weight only in the first"), std::string::npos);
}

// A llama's tensors as they were or with something changed.
class TwoFiles : public testing::Test {
 protected:
  struct Wish {
    float scale = 1.0f;      // of one matrix
    float one_value = 0.0f;  // added to its last element
    float theta = 10000.0f;
    int64_t rows = 64;
    bool with_extra = false;
    std::string special = "<|end|>";
    uint32_t eos = 3;
    std::string chat_template = "{{ messages[0].content }}";
  };

  fs::path write(const std::string& name, const Wish& wish) {
    GgufWriter writer;
    writer.add("general.architecture", "llama");
    writer.add("llama.block_count", uint32_t{1});
    writer.add("llama.context_length", uint32_t{64});
    writer.add("llama.embedding_length", uint32_t{32});
    writer.add("llama.feed_forward_length", uint32_t{64});
    writer.add("llama.attention.head_count", uint32_t{4});
    writer.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    writer.add("llama.rope.freq_base", wish.theta);
    writer.add("llama.vocab_size", uint32_t{5});
    writer.add("tokenizer.ggml.model", "gpt2");
    writer.add("tokenizer.ggml.pre", "smollm");
    writer.add_array("tokenizer.ggml.tokens",
                     std::vector<std::string>{"a", "b", "ab", wish.special, "[PAD4]"});
    writer.add_array("tokenizer.ggml.token_type",
                     std::span<const int32_t>(std::vector<int32_t>{1, 1, 1, 3, 5}));
    writer.add_array("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
    writer.add("tokenizer.ggml.eos_token_id", wish.eos);
    writer.add("tokenizer.chat_template", wish.chat_template);
    const auto add = [&](const std::string& tensor, const Shape& shape) {
      Random random(3);
      std::vector<float> values(static_cast<size_t>(shape.num_elements()));
      for (float& x : values) x = static_cast<float>(random.normal());
      if (tensor == "blk.0.ffn_up.weight") {
        for (float& x : values) x *= wish.scale;
        values.back() += wish.one_value;
      }
      writer.add_tensor(tensor, DType::kF32, shape, std::as_bytes(std::span(values)));
    };
    add("token_embd.weight", {5, 32});
    add("blk.0.ffn_up.weight", {wish.rows, 32});
    add("blk.0.ffn_norm.weight", {32});
    if (wish.with_extra) add("blk.0.extra.weight", {3});
    const fs::path path = folder_.path() / name;
    EXPECT_TRUE(writer.write(path));
    return path;
  }

  std::string differences(const Wish& wish) {
    return told(compare(write("a.gguf", {}), write("b.gguf", wish)));
  }

  ScratchFolder folder_;
};

TEST_F(TwoFiles, TheSameBytesAreTheSame) {
  const ModelComparison found = compare(write("a.gguf", {}), write("b.gguf", {}));
  EXPECT_TRUE(found.same(0)) << told(found);
  EXPECT_EQ(found.num_tensors, 3);
  EXPECT_EQ(told(found), "");
}

TEST_F(TwoFiles, ErrorsOfValuesAreMeasured) {
  const ModelComparison scaled = compare(write("a.gguf", {}), write("b.gguf", {.scale = 1.25f}));
  ASSERT_EQ(scaled.tensors.size(), 1u) << told(scaled);
  EXPECT_EQ(scaled.tensors[0].name, "blk.0.ffn_up.weight");
  EXPECT_NEAR(scaled.tensors[0].relative_error, 0.25, 1e-6);
  EXPECT_TRUE(scaled.same(0.26));
  EXPECT_FALSE(scaled.same(0.24));
  const ModelComparison one = compare(write("a.gguf", {}), write("b.gguf", {.one_value = 3.0f}));
  EXPECT_NEAR(one.relative_error_max(), 3.0 / std::sqrt(64 * 32), 0.01);
  EXPECT_NEAR(one.tensors.at(0).max_abs_difference, 3.0, 1e-6);
  const ModelComparison nan = compare(write("a.gguf", {}), write("b.gguf", {.one_value = NAN}));
  EXPECT_FALSE(nan.same(1e9)) << told(nan);
}

TEST_F(TwoFiles, EachOtherDifferenceIsTold) {
  EXPECT_EQ(differences({.rows = 96}), "blk.0.ffn_up.weight [64, 32] and [96, 32] 0\n");
  EXPECT_EQ(differences({.theta = 500000.0f}), "rope_theta: 10000 and 500000\n");
  EXPECT_NE(differences({.special = "<|stop|>"}).find("1 tokens differ, the first 3: '<|end|>'"),
            std::string::npos);
  EXPECT_NE(differences({.eos = 1}).find("eos: 3 and 1"), std::string::npos);
  EXPECT_EQ(differences({.chat_template = "x"}), "the chat templates differ\n");
  const ModelComparison found = compare(write("b.gguf", {.with_extra = true}), write("a.gguf", {}));
  EXPECT_EQ(told(found), "blk.0.extra.weight only in the first 0\n");
  EXPECT_FALSE(found.same(1e9));
}

TEST_F(TwoFiles, ThreadsDoNotChangeTheResult) {
  const fs::path a = golden_folder("deepseek-v3"), b = golden_folder("deepseek-v3-fp8");
  const std::string one = told(compare(a, b, 1));
  EXPECT_EQ(one, told(compare(a, b, 3)));
}

TEST_F(TwoFiles, StopsWhenItIsTold) {
  CompareOptions options;
  options.progress = [](uint64_t, uint64_t) { return false; };
  const auto stopped = compare_models(write("a.gguf", {}), write("b.gguf", {}), options);
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
}

}  // namespace
}  // namespace minke
