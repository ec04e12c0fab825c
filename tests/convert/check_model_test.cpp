// Goal: what no model should have is found wherever it lies, and a sound one has no errors. Method:
// golden checkpoints, and small files of block formats with one thing broken.
#include "minke/convert/check_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "minke/format/gguf_writer.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

ModelCheck check(const fs::path& path, int num_threads = 2) {
  const auto model = OpenedModel::open(path);
  EXPECT_TRUE(model) << model.error().message;
  if (!model) return {};
  CheckOptions options;
  options.num_threads = num_threads;
  const auto found = check_model(*model, options);
  EXPECT_TRUE(found);
  return found ? *found : ModelCheck{};
}

// A model of one tensor [64, 256] in `dtype`, whose bytes may be changed, and 4 tokens.
template <class Change>
ModelCheck check_file(DType dtype, uint32_t eos, const Change& change, int num_threads = 2) {
  std::vector<float> values(64 * 256);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  std::vector<std::byte> bytes(static_cast<size_t>(dtype_bytes(dtype, 64 * 256)));
  dtype_info(dtype).encode(values.data(), 64 * 256 / dtype_info(dtype).block_size, bytes.data());
  change(bytes);
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  writer.add("llama.block_count", uint32_t{1});
  writer.add("llama.context_length", uint32_t{64});
  writer.add("llama.embedding_length", uint32_t{256});
  writer.add("llama.feed_forward_length", uint32_t{64});
  writer.add("llama.attention.head_count", uint32_t{4});
  writer.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.add("llama.vocab_size", uint32_t{64});
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", "smollm");
  writer.add_array("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "ab", "<|end|>"});
  writer.add_array("tokenizer.ggml.token_type",
                   std::span<const int32_t>(std::vector<int32_t>{1, 1, 1, 3}));
  writer.add_array("tokenizer.ggml.merges", std::vector<std::string>{"a b"});
  writer.add("tokenizer.ggml.eos_token_id", eos);
  writer.add("tokenizer.chat_template", "{{ messages[-1].content }}");
  writer.add_tensor("token_embd.weight", dtype, {64, 256}, bytes);
  const ScratchFolder folder;
  EXPECT_TRUE(writer.write(folder.path() / "model.gguf"));
  return check(folder.path() / "model.gguf", num_threads);
}

TEST(CheckModel, SoundModelsHaveNoErrors) {
  for (const auto& entry : fs::directory_iterator(golden_path("hf"))) {
    const ModelCheck found = check(entry.path());
    EXPECT_EQ(found.errors, std::vector<std::string>{}) << entry.path();
    EXPECT_GT(found.num_tensors, 5);
  }
  const ModelCheck found = check_file(DType::kQ4_K, 3, [](auto&) {});
  EXPECT_EQ(found.errors, std::vector<std::string>{});
  EXPECT_EQ(found.warnings, std::vector<std::string>{});
  ASSERT_EQ(found.notes.size(), 1u);
  EXPECT_EQ(found.notes[0], "60 of 64 rows of the embedding have no token");
}

TEST(CheckModel, AScaleThatIsNotFiniteIsFoundInEachFormat) {
  for (const DType dtype : {DType::kQ8_0, DType::kQ4_0, DType::kQ4_K, DType::kF16, DType::kBf16}) {
    const auto infinite = [&](std::vector<std::byte>& bytes) {
      // The first block of row 40: a scale of f16, or an element.
      std::byte* at = bytes.data() + 40 * dtype_bytes(dtype, 256);
      const uint16_t infinity = dtype == DType::kBf16 ? 0x7f80 : 0x7c00;
      std::memcpy(at, &infinity, sizeof infinity);
    };
    const ModelCheck one = check_file(dtype, 3, infinite, 1);
    ASSERT_EQ(one.errors.size(), 1u) << dtype_info(dtype).name;
    EXPECT_NE(one.errors[0].find("'token_embd.weight'"), std::string::npos);
    EXPECT_NE(one.errors[0].find("row 40, column 0"), std::string::npos) << one.errors[0];
    EXPECT_EQ(one.errors, check_file(dtype, 3, infinite, 3).errors);
  }
}

TEST(CheckModel, AMatrixOfZerosIsAWarning) {
  const ModelCheck found = check_file(
      DType::kQ8_0, 3, [](auto& bytes) { std::fill(bytes.begin(), bytes.end(), std::byte{0}); });
  EXPECT_EQ(found.errors.size(), 0u);
  ASSERT_EQ(found.warnings.size(), 1u);
  EXPECT_EQ(found.warnings[0], "tensor 'token_embd.weight' [64, 256] is all zero");
}

TEST(CheckModel, AnIdOutsideTheVocabularyIsAnError) {
  const ModelCheck found = check_file(DType::kF32, 9, [](auto&) {});
  EXPECT_GE(found.errors.size(), 1u);
}

}  // namespace
}  // namespace minke
