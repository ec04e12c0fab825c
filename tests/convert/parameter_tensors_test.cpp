// Goal: what is written of a model in memory is the checkpoint that it came from, to the bit, from
// a folder or from GGUF. Method: checkpoints that transformers wrote (tests/golden/hf), loaded and
// written again; other values in the parameters' place.
#include "minke/convert/parameter_tensors.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "minke/convert/convert.h"
#include "minke/models/hf_folder.h"
#include "minke/models/model_file.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder(const std::string& name) {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  return fs::path(source == nullptr ? "." : source) / "tests/golden/hf" / name;
}

std::unique_ptr<Model> loaded(const Device& device, const fs::path& path) {
  const auto file = ModelFile::open(path);
  EXPECT_TRUE(file) << file.error().message;
  auto model = load_model(device, file->weights(), file->config(),
                          {.precision = Precision::kF32,
                           .context_tokens = 64,
                           .mtp_modules = 8,
                           .trains_weights = true});
  EXPECT_TRUE(model) << path << ": " << model.error().message;
  return std::move(*model);
}

void convert(const fs::path& from, const fs::path& to) {
  ConvertOptions options;
  options.type = DType::kF32;
  const auto report = convert_model(from, to, options);
  ASSERT_TRUE(report) << from << ": " << report.error().message;
}

void write(const Model& model, const fs::path& folder, std::span<const Tensor> values = {}) {
  fs::create_directories(folder);
  const Json config = Json::object({{"model_type", "llama"}, {"torch_dtype", "bfloat16"}});
  const auto written =
      write_parameters(model, config, folder, {.num_threads = 2, .progress = {}}, values);
  ASSERT_TRUE(written) << written.error().message;
}

// `ours` has all of `theirs` that a model reads, with the same bytes, and nothing else.
void expect_same_tensors(const fs::path& ours, const fs::path& theirs) {
  const auto left = HfFolder::open(ours), right = HfFolder::open(theirs);
  ASSERT_TRUE(left && right);
  const auto is_copy = [&](const std::string& name) {  // of the model's own embedding or head
    return name.ends_with(".embed_tokens.weight") ? !name.starts_with("model.embed")
                                                  : name.ends_with("shared_head.head.weight");
  };
  size_t num_expected = 0;
  for (const WeightInfo& info : right->weights.weights()) {
    if (is_copy(info.name)) continue;
    ++num_expected;
    const WeightInfo* found = left->weights.find(info.name);
    ASSERT_NE(found, nullptr) << info.name;
    ASSERT_EQ(found->shape, info.shape) << info.name;
    // The bias of a router keeps its format when a folder is converted.
    std::vector<float> a, b;
    append_decoded(*found, 0, info.shape.num_rows(), a);
    append_decoded(info, 0, info.shape.num_rows(), b);
    EXPECT_EQ(found->dtype, DType::kF32);
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << info.name;
  }
  EXPECT_EQ(left->weights.weights().size(), num_expected);
}

TEST(ParameterTensors, OfAModelInMemoryAreItsCheckpoint) {
  int num_models = 0;
  for (const auto& entry : fs::directory_iterator(golden_folder(""))) {
    const std::string name = entry.path().filename().string();
    SCOPED_TRACE(name);
    const ScratchFolder folder;
    const fs::path f32 = folder.path() / "f32";
    convert(golden_folder(name), f32);
    const Device device(2, false, CpuLevel::kRef);
    write(*loaded(device, golden_folder(name)), folder.path() / "written");
    expect_same_tensors(folder.path() / "written", f32);
    ++num_models;
    if (name == "qwen3-moe-sparse" || name == "gpt2-erf") continue;  // which GGUF cannot say
    convert(f32, folder.path() / "model.gguf");
    write(*loaded(device, folder.path() / "model.gguf"), folder.path() / "from_gguf");
    expect_same_tensors(folder.path() / "from_gguf", f32);
  }
  EXPECT_GE(num_models, 10);
}

TEST(ParameterTensors, OtherValuesTakeTheParametersPlace) {
  const ScratchFolder folder;
  const Device device(1, false, CpuLevel::kRef);
  const auto model = loaded(device, golden_folder("qwen2"));
  std::vector<Tensor> values;
  for (const Parameter& parameter : model->parameters().parameters()) {
    values.push_back(Tensor::zeros(DType::kF32, parameter.value.shape()));
    for (float& value : values.back().span<float>()) value = 1.0f;
  }
  write(*model, folder.path() / "ones", values);
  const auto ones = HfFolder::open(folder.path() / "ones");
  ASSERT_TRUE(ones) << ones.error().message;
  EXPECT_EQ(ones->config.find("torch_dtype")->as_string(), "float32");
  EXPECT_EQ(ones->config.find("dtype")->as_string(), "float32");
  for (const WeightInfo& info : ones->weights.weights()) {
    std::vector<float> found;
    append_decoded(info, 0, info.shape.num_rows(), found);
    EXPECT_EQ(found, std::vector<float>(found.size(), 1.0f)) << info.name;
  }
}

TEST(ParameterTensors, AFolderThatCannotBeWrittenIsAnError) {
  const Device device(1, false, CpuLevel::kRef);
  const auto model = loaded(device, golden_folder("llama"));
  const auto written = write_parameters(*model, Json::object({}), "/proc/no such folder",
                                        {.num_threads = 1, .progress = {}});
  ASSERT_FALSE(written);
  EXPECT_NE(written.error().message.find("/proc/no such folder"), std::string::npos);
}

}  // namespace
}  // namespace minke
