// Goal: an adapter as PEFT writes it gives the logits of transformers with it, in every
// architecture and from every form of the model's file, and breaks no promise; whatever else stands
// in its folder is refused with the name of what is wrong. Method: tests/golden/adapters.py;
// written and read again; thousands of seeded mutations.
#include "minke/models/adapter.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "minke/base/files.h"
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

// A case of the golden script: its checkpoint, adapters in their weights, and the logits.
struct Case {
  ModelFile file;
  std::vector<Adapter> adapters;
  std::vector<int32_t> ids;
  std::vector<float> logits;

  static Case open(const std::string& name) {
    auto file = ModelFile::open(golden_path("hf") / name);
    const auto expected =
        SafetensorsFile::open(golden_path("adapters") / name / "expected.safetensors");
    EXPECT_TRUE(file && expected);
    return {std::move(*file), golden_adapters(name), golden_values<int32_t>(*expected, "ids"),
            golden_values<float>(*expected, "logits")};
  }
  std::unique_ptr<Model> load(const Device& device, LoadOptions options) const {
    const auto deltas = fit_adapters(adapters, file.weights(), file.config());
    EXPECT_TRUE(deltas) << deltas.error().message;
    options.adapters = &*deltas;
    auto model = load_model(device, file.weights(), file.config(), options);
    EXPECT_TRUE(model) << model.error().message;
    return std::move(*model);
  }
};

constexpr const char* kCases[] = {"llama", "qwen2", "deepseek-v3", "qwen3-moe-sparse"};

TEST(Adapter, GivesTheLogitsOfTransformersInAnyChunksAndThreads) {
  for (const char* name : kCases) {
    const Case golden = Case::open(name);
    std::vector<float> whole;
    for (const int threads : {1, 2}) {
      const Device device(threads, false, supported_levels().front());
      const auto model = golden.load(device, {Precision::kF32, 128});
      for (const size_t chunk : {size_t{512}, size_t{7}, size_t{1}}) {
        const auto found = cached_logits(device, *model, golden.ids, chunk, DType::kF32);
        EXPECT_LE(worst_difference(found, golden.logits), 2e-4f) << name << " chunk " << chunk;
        if (whole.empty()) whole = found;
        EXPECT_EQ(found, whole) << name << ": chunks or threads change bits";
      }
    }
  }
}

TEST(Adapter, OfTheExpansionOfLatentsHoldsInTheAbsorbedForm) {
  const Case golden = Case::open("deepseek-v3");
  const Device device(2, false, supported_levels().front());
  const auto model = golden.load(device, {Precision::kF32, 128, true});
  const auto whole = cached_logits(device, *model, golden.ids, 512, DType::kF32);
  EXPECT_LE(worst_difference(whole, golden.logits), 2e-4f);
  EXPECT_EQ(cached_logits(device, *model, golden.ids, 7, DType::kF32), whole);
  const auto generated = cached_logits(device, *model, golden.ids, 1, DType::kF32, 5);
  EXPECT_LE(worst_difference(generated, whole), 1e-3f);
  EXPECT_NE(generated, whole) << "the absorbed form is not in use";
}

// A quantised Llama of GGUF, whose rows are in pairs.
TEST(Adapter, KeepsTheBitsOfInt8InAnyChunksAndThreads) {
  TinyLlamaShape shape;
  shape.matrices = DType::kQ8_0;
  const std::string bytes = tiny_llama_gguf(shape, 3);
  const auto file = GgufFile::parse(std::as_bytes(std::span(bytes)));
  const auto config = config_from_gguf(*file);
  ASSERT_TRUE(config);
  Random random(4);
  const auto values = [&](int64_t count) {
    std::vector<float> out(static_cast<size_t>(count));
    for (float& value : out) value = 0.1f * static_cast<float>(random.normal());
    return out;
  };
  Adapter adapter{"made", "", {}};
  for (const auto& [module, rows, cols] : {std::tuple("model.layers.0.self_attn.q_proj", 96, 96),
                                           {"model.layers.1.self_attn.v_proj", 32, 96},
                                           {"model.layers.1.mlp.up_proj", 160, 96},
                                           {"model.layers.0.mlp.down_proj", 96, 160}}) {
    adapter.modules.push_back({module, {4, rows, cols, 2.0, values(4 * cols), values(rows * 4)}});
  }
  const auto deltas = fit_adapters(std::span(&adapter, 1), *file, *config);
  ASSERT_TRUE(deltas) << deltas.error().message;
  std::vector<int32_t> ids(40);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * 37 % 117);
  for (const CpuLevel level : supported_levels()) {
    std::vector<float> whole;
    for (const int threads : {1, 2}) {
      const Device device(threads, false, level);
      LoadOptions options{Precision::kInt8, 128};
      const auto plain = load_model(device, *file, *config, options);
      options.adapters = &*deltas;
      const auto model = load_model(device, *file, *config, options);
      ASSERT_TRUE(model && plain);
      for (const size_t chunk : {size_t{64}, size_t{9}, size_t{1}}) {
        const auto found = cached_logits(device, **model, ids, chunk, DType::kF16);
        if (whole.empty()) whole = found;
        EXPECT_EQ(found, whole) << cpu_level_name(level) << " chunks of " << chunk;
      }
      EXPECT_GT(worst_difference(cached_logits(device, **plain, ids, 64, DType::kF16), whole),
                0.1f);
    }
  }
}

TEST(Adapter, WrittenAndReadAgainIsTheSame) {
  const ScratchFolder scratch;
  for (const char* name : kCases) {
    for (const Adapter& adapter : Case::open(name).adapters) {
      const fs::path folder = scratch.path() / "copy";
      const auto written = write_adapter(folder, adapter);
      ASSERT_TRUE(written) << written.error().message;
      const auto read = read_adapter(folder);
      ASSERT_TRUE(read) << read.error().message;
      ASSERT_EQ(read->modules.size(), adapter.modules.size());
      EXPECT_EQ(read->base_model, adapter.base_model);
      for (size_t i = 0; i < adapter.modules.size(); ++i) {
        const LoraDelta &a = read->modules[i].delta, &b = adapter.modules[i].delta;
        EXPECT_EQ(read->modules[i].module, adapter.modules[i].module);
        EXPECT_EQ(std::tuple(a.rank, a.rows, a.cols), std::tuple(b.rank, b.rows, b.cols));
        EXPECT_NEAR(a.scale, b.scale, 1e-12);
        EXPECT_TRUE(a.a == b.a && a.b == b.b);
      }
    }
  }
}

// A copy of the golden adapter of Qwen2, some of whose files a test writes anew.
class Copy {
 public:
  Copy() : config_(text_of("adapter_config.json")), weights_(text_of("adapter_model.safetensors")) {
    write(config_, weights_);
  }
  void write(const std::string& config, const std::string& weights) const {
    std::ofstream(folder_.path() / "adapter_config.json") << config;
    std::ofstream(folder_.path() / "adapter_model.safetensors") << weights;
  }
  /// The error of reading, or of fitting it to its model; empty when there is none.
  std::string error() const {
    const auto adapter = read_adapter(folder_.path());
    if (!adapter) return adapter.error().message;
    const auto deltas = fit_adapters(std::span(&*adapter, 1), file_.weights(), file_.config());
    return deltas ? "" : deltas.error().message;
  }
  /// The error where one setting of the config is another.
  std::string error_with(const std::string& key, const std::string& value) const {
    Json config = *parse_json(config_);
    config.set(key, *parse_json(value));
    write(config.dump(), weights_);
    return error();
  }
  /// The error where a part of the header is another of the same length.
  std::string error_renamed(const std::string& from, const std::string& to) const {
    EXPECT_EQ(from.size(), to.size());
    std::string weights = weights_;
    const size_t at = weights.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    write(config_, weights.replace(at, to.size(), to));
    return error();
  }
  const std::string& config() const { return config_; }
  const std::string& weights() const { return weights_; }

 private:
  static std::string text_of(const char* name) {
    return read_file(golden_path() / "adapters/qwen2/0" / name, size_t{1} << 20).value_or("");
  }
  ScratchFolder folder_;
  std::string config_, weights_;
  ModelFile file_ = std::move(*ModelFile::open(golden_path() / "hf/qwen2"));
};

TEST(AdapterHostile, SettingsThatCannotBeNameTheSetting) {
  const Copy copy;
  EXPECT_EQ(copy.error(), "");
  EXPECT_EQ(copy.error_with("init_lora_weights", "\"gaussian\""), "");
  EXPECT_EQ(copy.error_with("not_invented_yet", "null"), "");
  const std::pair<const char*, const char*> wrong[] = {{"r", "0"},
                                                       {"r", "5.0"},
                                                       {"r", "99999999999999999999"},
                                                       {"r", "6"},
                                                       {"lora_alpha", "\"16\""},
                                                       {"lora_alpha", "null"},
                                                       {"use_rslora", "1"},
                                                       {"use_dora", "true"},
                                                       {"bias", "\"all\""},
                                                       {"bias", "\"lora_only\""},
                                                       {"lora_bias", "true"},
                                                       {"fan_in_fan_out", "true"},
                                                       {"modules_to_save", "[\"lm_head\"]"},
                                                       {"trainable_token_indices", "[1]"},
                                                       {"target_parameters", "[\"down_proj\"]"},
                                                       {"layer_replication", "[[0, 1]]"},
                                                       {"alora_invocation_tokens", "[3]"},
                                                       {"not_invented_yet", "\"on\""},
                                                       {"init_lora_weights", "\"pissa\""},
                                                       {"init_lora_weights", "\"loftq\""},
                                                       {"peft_type", "\"IA3\""},
                                                       {"peft_type", "3"},
                                                       {"target_modules", "[1]"},
                                                       {"rank_pattern", "[]"},
                                                       {"rank_pattern", R"({"k_proj": -2})"},
                                                       {"rank_pattern", R"({"(k|q)_proj": 2})"},
                                                       {"alpha_pattern", R"({"k_proj": "2"})"}};
  for (const auto& [key, value] : wrong) {
    const std::string message = copy.error_with(key, value);
    const std::string named = std::string(key) == "r" && message.find("lora_A") != std::string::npos
                                  ? "r or rank_pattern"
                                  : key;
    EXPECT_NE(message.find(named), std::string::npos) << key << " " << value << ": " << message;
  }
  copy.write("[]", copy.weights());
  EXPECT_NE(copy.error().find("expected an object"), std::string::npos);
  copy.write("{", copy.weights());
  EXPECT_NE(copy.error().find("no JSON"), std::string::npos);
}

TEST(AdapterHostile, TensorsThatCannotBeAreNamed) {
  const Copy copy;
  for (const auto& [from, to, named] :
       {std::tuple("layers.0.self_attn.k_proj.lora_A", "layers.9.self_attn.k_proj.lora_A",
                   "'model.layers.0.self_attn.k_proj' has lora_B only"),
        {"layers.0.self_attn.k_proj.lora_A", "layers.0.self_attn.k_proj.lora_C", "lora_C"},
        {"k_proj.lora_A.weight", "k_proj.lora_A.biases", "lora_A.biases"},
        {"base_model.model.model", "case_model.model.model", "case_model"},
        {"\"F16\"", "\"I16\"", "I16"},
        {"\"F16\"", "\"U16\"", "U16"}}) {
    const std::string message = copy.error_renamed(from, to);
    EXPECT_NE(message.find(named), std::string::npos) << from << ": " << message;
  }
  // Both tensors of one module renamed.
  std::string weights = copy.weights();
  for (const char part : {'A', 'B'}) {
    const std::string from = fmt::format("layers.0.self_attn.v_proj.lora_{}", part);
    const std::string to = fmt::format("layers.7.self_attn.v_proj.lora_{}", part);
    weights.replace(weights.find(from), from.size(), to);
  }
  copy.write(copy.config(), weights);
  EXPECT_NE(copy.error().find("'model.layers.7.self_attn.v_proj' is no matrix of this qwen2"),
            std::string::npos)
      << copy.error();
  weights = copy.weights();
  weights[weights.size() - 1] = '\x7e';  // f16 0x7e..: not a number
  copy.write(copy.config(), weights);
  EXPECT_NE(copy.error().find("expected finite numbers"), std::string::npos) << copy.error();
  copy.write(copy.config(), "");
  EXPECT_NE(copy.error(), "");
}

TEST(AdapterHostile, OfAnotherModelIsRefused) {
  Case llama = Case::open("llama");
  const auto error_of = [&](const ModelFile& file) {
    const auto deltas = fit_adapters(llama.adapters, file.weights(), file.config());
    return deltas ? "" : deltas.error().message;
  };
  EXPECT_EQ(error_of(llama.file), "");
  const auto other = ModelFile::open(golden_path() / "hf/deepseek-v3");
  ASSERT_TRUE(other);
  EXPECT_NE(error_of(*other).find("' is no matrix of this deepseek_v3"), std::string::npos);
  llama.adapters[0].modules[0].delta.rows += 1;
  EXPECT_NE(error_of(llama.file).find("is made for a matrix"), std::string::npos);
  llama.adapters[0].modules[0].module = "lm_head";
  EXPECT_NE(error_of(llama.file).find("tied"), std::string::npos);
  llama.adapters[0].modules[0].module = "model.embed_tokens";
  EXPECT_NE(error_of(llama.file).find("is no matrix"), std::string::npos);
  EXPECT_EQ(read_adapter(golden_path() / "hf/llama").error().code, ErrorCode::kNotFound);
}

TEST(AdapterHostile, MutatedFilesAreReadOrRefusedWithAReason) {
  const Copy copy;
  Random random(9);
  const auto mutated = [&](std::string text, size_t limit) {
    for (uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
      const size_t at = static_cast<size_t>(random.below(std::min(text.size(), limit)));
      constexpr std::string_view kBytes = "0123456789-.,:[]{}\"\\eAB \x00\xff";
      const char byte = kBytes[static_cast<size_t>(random.below(kBytes.size()))];
      switch (random.below(3)) {
        case 0:
          text[at] = byte;
          break;
        case 1:
          text.insert(at, 1, byte);
          break;
        default:
          text.erase(at, 1 + random.below(4));
          break;
      }
      if (text.empty()) return text;
    }
    return text;
  };
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    const bool of_config = round % 2 == 0;
    copy.write(of_config ? mutated(copy.config(), copy.config().size()) : copy.config(),
               of_config ? copy.weights() : mutated(copy.weights(), 2500));
    refused += copy.error().empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 100);
  EXPECT_LT(refused, 300);
}

}  // namespace
}  // namespace minke
