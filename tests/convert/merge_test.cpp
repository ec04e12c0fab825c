// Goal: a model with adapters merged into it computes what the model with them does, from folders
// and GGUF files, in the formats that it had; adapters merged to one add what both added; what
// cannot be merged is an error that leaves nothing behind. Method: the golden adapters and logits
// of tests/golden/adapters.py; rows of quantised tensors against decoding, adding and encoding.
#include "minke/convert/merge.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "minke/convert/convert.h"
#include "minke/format/safetensors.h"
#include "minke/models/model_file.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"
#include "tests/models/cached_logits.h"
#include "tests/models/golden_adapters.h"
#include "tests/models/tiny_llama.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

std::vector<float> logits_of(const fs::path& path, std::span<const Adapter> adapters = {}) {
  const auto file = ModelFile::open(path);
  EXPECT_TRUE(file) << file.error().message;
  const Device device(1, false, CpuLevel::kRef);
  const auto deltas = fit_adapters(adapters, file->weights(), file->config());
  EXPECT_TRUE(deltas) << deltas.error().message;
  LoadOptions options{Precision::kF32, 128};
  options.adapters = &*deltas;
  const auto model = load_model(device, file->weights(), file->config(), options);
  EXPECT_TRUE(model) << model.error().message;
  std::vector<int32_t> ids(40);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * i % 61);
  return cached_logits(device, **model, ids, 512, DType::kF32);
}

size_t num_entries(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

MergeOptions threads(int count) {
  MergeOptions options;
  options.writing.num_threads = count;
  return options;
}

TEST(Merge, GivesTheLogitsOfTheModelWithItsAdapters) {
  const ScratchFolder scratch;
  ConvertOptions f32;
  f32.type = DType::kF32;
  for (const std::string name : {"llama", "qwen2", "deepseek-v3", "qwen3-moe-sparse"}) {
    const std::vector<Adapter> adapters = golden_adapters(name);
    const fs::path folder = scratch.path() / name, file = scratch.path() / (name + ".gguf");
    ASSERT_TRUE(convert_model(golden_path() / "hf" / name, folder, f32));
    const bool has_gguf = name != "qwen3-moe-sparse";  // which GGUF cannot say
    if (has_gguf) {
      ASSERT_TRUE(convert_model(folder, file, f32));
    }
    for (const fs::path& source : {folder, file}) {
      if (source == file && !has_gguf) continue;
      const auto expected = logits_of(source, adapters);
      EXPECT_GT(worst_difference(logits_of(source), expected), 0.5f) << name;
      const fs::path merged = scratch.path() / (source == file ? "merged.gguf" : "merged-" + name);
      MergeOptions options = threads(2);
      options.overwrite = true;
      const auto report = merge_into_model(adapters, source, merged, options);
      ASSERT_TRUE(report) << report.error().message;
      EXPECT_LE(worst_difference(logits_of(merged), expected), 2e-4f) << name;
    }
    const fs::path sum = scratch.path() / (name + "-sum");
    ASSERT_TRUE(merge_adapters(adapters, sum, {}));
    const auto read = read_adapter(sum);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_LE(
        worst_difference(logits_of(folder, std::span(&*read, 1)), logits_of(folder, adapters)),
        2e-4f)
        << name;
  }
}

TEST(Merge, KeepsFormatsAndWhatTheAdaptersAreNotOf) {
  const ScratchFolder scratch;
  const fs::path source = scratch.path() / "q8.gguf", merged = scratch.path() / "merged.gguf";
  TinyLlamaShape shape;
  shape.matrices = DType::kQ8_0;
  std::ofstream(source) << tiny_llama_gguf(shape, 8);
  const auto before = ModelFile::open(source);
  ASSERT_TRUE(before) << before.error().message;
  const WeightInfo* down = before->weights().find("blk.0.ffn_down.weight");
  const WeightInfo* value = before->weights().find("blk.0.attn_v.weight");
  ASSERT_TRUE(down != nullptr && value != nullptr);
  Adapter adapter{"made", "", {}};
  for (const auto& [module, info] : {std::pair("model.layers.0.mlp.down_proj", down),
                                     {"model.layers.0.self_attn.v_proj", value}}) {
    LoraDelta delta{1, info->shape[0], info->shape[1], 0.5, {}, {}};
    for (int64_t i = 0; i < delta.cols; ++i) delta.a.push_back(0.01f * static_cast<float>(i % 9));
    for (int64_t i = 0; i < delta.rows; ++i) delta.b.push_back(0.1f * static_cast<float>(i % 5));
    adapter.modules.push_back({module, std::move(delta)});
  }
  ASSERT_TRUE(merge_into_model(std::span(&adapter, 1), source, merged, threads(1)));
  const auto after = ModelFile::open(merged);
  ASSERT_TRUE(after) << after.error().message;
  ASSERT_EQ(after->weights().weights().size(), before->weights().weights().size());
  int changed = 0;
  for (const WeightInfo& old : before->weights().weights()) {
    const WeightInfo* now = after->weights().find(old.name);
    ASSERT_TRUE(now != nullptr && now->dtype == old.dtype && now->shape == old.shape) << old.name;
    std::vector<std::byte> expected(old.bytes.begin(), old.bytes.end());
    if (&old == down || &old == value) {
      ++changed;
      const LoraDelta& delta = adapter.modules[&old == down ? 0 : 1].delta;
      const int64_t cols = delta.cols;
      std::vector<float> row(static_cast<size_t>(cols));
      for (int64_t r = 0; r < delta.rows; ++r) {
        decode_rows(old, r, 1, row.data());
        for (size_t c = 0; c < row.size(); ++c) {
          row[c] += 0.5f * (delta.b[static_cast<size_t>(r)] * delta.a[c]);
        }
        const DTypeInfo& format = dtype_info(old.dtype);
        format.encode(row.data(), cols / format.block_size,
                      expected.data() + r * dtype_bytes(old.dtype, cols));
      }
    }
    EXPECT_EQ(std::memcmp(expected.data(), now->bytes.data(), expected.size()), 0) << old.name;
  }
  EXPECT_EQ(changed, 2);
  EXPECT_TRUE(is_block_quantized(value->dtype)) << dtype_info(value->dtype).name;
}

TEST(Merge, ErrorsLeaveNothingBehind) {
  const ScratchFolder scratch;
  const std::vector<Adapter> llama = golden_adapters("llama");
  const auto error_of = [&](const fs::path& source, const fs::path& destination,
                            const MergeOptions& options) {
    const auto report = merge_into_model(llama, source, destination, options);
    EXPECT_FALSE(report) << destination;
    return report ? Error{} : report.error();
  };
  const fs::path model = golden_path() / "hf/llama", to = scratch.path() / "to";
  EXPECT_NE(error_of(model, scratch.path() / "a.gguf", {}).message.find("name a folder"),
            std::string::npos);
  EXPECT_EQ(error_of(model, model, threads(1)).code, ErrorCode::kUsage);
  EXPECT_NE(error_of(golden_path() / "hf/deepseek-v3", to, {}).message.find("is no matrix"),
            std::string::npos);
  MergeOptions stopped = threads(1);
  stopped.writing.progress = [](uint64_t, uint64_t) { return false; };
  EXPECT_EQ(error_of(model, to, stopped).code, ErrorCode::kInterrupted);
  EXPECT_EQ(num_entries(scratch.path()), 0u);

  const std::vector<Adapter> both = {llama[0], llama[1]};
  ASSERT_TRUE(merge_adapters(both, to, {}));
  EXPECT_NE(merge_adapters(both, to, {}).error().message.find("--force"), std::string::npos);
  std::vector<Adapter> clash = {llama[0], llama[0]};
  clash[1].modules[0].delta.rows += 1;
  EXPECT_NE(
      merge_adapters(clash, scratch.path() / "b", {}).error().message.find("different models"),
      std::string::npos);
  MergeOptions force;
  force.overwrite = true;
  std::ofstream(scratch.path() / "note") << "mine";
  EXPECT_FALSE(merge_adapters(both, scratch.path(), force));
  ASSERT_TRUE(merge_adapters(both, to, force));
  EXPECT_EQ(num_entries(scratch.path()), 2u);
}

// FP8 has scales for blocks of rows, which a new row cannot keep.
TEST(Merge, RefusesFormatsThatItCannotWrite) {
  const ScratchFolder scratch;
  const auto file = ModelFile::open(golden_path() / "hf/qwen3-fp8");
  ASSERT_TRUE(file);
  const WeightInfo* query = file->weights().find("blk.0.attn_q.weight");
  Adapter adapter{"made", "", {{"model.layers.0.self_attn.q_proj", {}}}};
  LoraDelta& delta = adapter.modules[0].delta;
  delta = {1, query->shape[0], query->shape[1], 1.0, {}, {}};
  delta.a.resize(static_cast<size_t>(delta.cols));
  delta.b.resize(static_cast<size_t>(delta.rows));
  const auto report = merge_into_model(std::span(&adapter, 1), golden_path() / "hf/qwen3-fp8",
                                       scratch.path() / "out", threads(1));
  ASSERT_FALSE(report);
  EXPECT_NE(report.error().message.find("minke convert --type bf16"), std::string::npos);
  EXPECT_EQ(num_entries(scratch.path()), 0u);
}

}  // namespace
}  // namespace minke
