// Goal: a model converted to another format is the same model, and what cannot be converted is an
// error that says so and leaves nothing behind. Method: checkpoints that transformers wrote
// (tests/golden/hf) there and back; bytes and logits compared.
#include "minke/convert/convert.h"

#include <gtest/gtest.h>

#include <cstring>

#include "minke/convert/hf_config.h"
#include "minke/convert/hf_tensors.h"
#include "minke/models/hf_folder.h"
#include "minke/models/model_file.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"
#include "tests/models/cached_logits.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder(const std::string& name) { return golden_path("hf") / name; }

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(golden_folder(""))) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

size_t num_entries(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

ConvertOptions options_of(std::optional<DType> type = {}) {
  ConvertOptions options;
  options.type = type;
  return options;
}

void convert(const fs::path& source, const fs::path& destination, const ConvertOptions& options) {
  const auto report = convert_model(source, destination, options);
  ASSERT_TRUE(report) << source << ": " << report.error().message;
}

Error error_of(const fs::path& source, const fs::path& destination,
               const ConvertOptions& options = {}) {
  const auto report = convert_model(source, destination, options);
  EXPECT_FALSE(report);
  return report ? Error{} : report.error();
}

std::vector<float> logits_of(const fs::path& path) {
  const auto file = ModelFile::open(path);
  EXPECT_TRUE(file) << file.error().message;
  const Device device(1, false, CpuLevel::kRef);
  const auto model = load_model(device, file->weights(), file->config(), {Precision::kF32, 128});
  EXPECT_TRUE(model) << model.error().message;
  std::vector<int32_t> ids(70);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i * i % 61);
  return cached_logits(device, **model, ids, 512, DType::kF32);
}

void expect_same_tensors(const fs::path& a, const fs::path& b) {
  const auto left = HfFolder::open(a), right = HfFolder::open(b);
  ASSERT_TRUE(left && right);
  ASSERT_EQ(left->weights.weights().size(), right->weights.weights().size());
  for (const WeightInfo& info : left->weights.weights()) {
    const WeightInfo* other = right->weights.find(info.name);
    ASSERT_NE(other, nullptr) << info.name;
    if (keeps_format(info.name)) continue;  // the source's, which in GGUF is f32
    EXPECT_EQ(info.dtype, other->dtype) << info.name;
    EXPECT_EQ(info.shape, other->shape) << info.name;
    ASSERT_EQ(info.bytes.size(), other->bytes.size()) << info.name;
    EXPECT_EQ(std::memcmp(info.bytes.data(), other->bytes.data(), info.bytes.size()), 0)
        << info.name;
  }
}

TEST(Convert, ThereAndBackGivesTheSameBytesAndLogits) {
  ASSERT_GE(cases().size(), 8u);
  for (const std::string& name : cases()) {
    SCOPED_TRACE(name);
    const ScratchFolder folder;
    if (name == "qwen3-moe-sparse" || name == "gpt2-erf") {
      const Error refused = error_of(golden_folder(name), folder.path() / "model.gguf");
      EXPECT_EQ(refused.code, ErrorCode::kUsage);
      const char* why = name == "gpt2-erf" ? "activation_function gelu" : "no experts";
      EXPECT_NE(refused.message.find(why), std::string::npos) << refused.message;
      continue;
    }
    const fs::path f32 = folder.path() / "f32", gguf = folder.path() / "model.gguf";
    const fs::path back = folder.path() / "back";
    convert(golden_folder(name), f32, options_of(DType::kF32));
    convert(golden_folder(name), gguf, options_of(DType::kF32));
    convert(gguf, back, options_of());
    expect_same_tensors(f32, back);
    const std::vector<float> before = logits_of(golden_folder(name)), between = logits_of(gguf);
    EXPECT_EQ(before, logits_of(f32));
    EXPECT_EQ(before, logits_of(back));
    // Llama's heads have their elements in another order, which scores add up in another order.
    ASSERT_EQ(before.size(), between.size());
    for (size_t i = 0; i < before.size(); ++i) ASSERT_NEAR(before[i], between[i], 2e-4) << i;
    EXPECT_EQ(num_entries(folder.path()), 3u);
  }
}

TEST(Convert, KeptFormatsAreTheSourcesAndVectorsInGgufAreF32) {
  const ScratchFolder folder;
  const fs::path gguf = folder.path() / "model.gguf", back = folder.path() / "back";
  convert(golden_folder("deepseek-v3"), gguf, options_of());
  const auto file = GgufFile::open(gguf);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(file->find("blk.1.ffn_up_exps.weight")->shape, (Shape{7, 12, 36}));
  EXPECT_EQ(file->find("blk.1.ffn_up_exps.weight")->dtype, DType::kBf16);
  EXPECT_EQ(file->find("blk.1.attn_k_b.weight")->shape, (Shape{6, 24, 16}));
  EXPECT_EQ(file->find("blk.1.attn_v_b.weight")->shape, (Shape{6, 6, 24}));
  for (const char* f32 : {"blk.1.ffn_gate_inp.weight", "blk.1.exp_probs_b.bias",
                          "blk.0.attn_norm.weight", "output_norm.weight"}) {
    ASSERT_NE(file->find(f32), nullptr) << f32;
    EXPECT_EQ(file->find(f32)->dtype, DType::kF32) << f32;
  }
  EXPECT_EQ(file->get_uint("general.file_type").value(), 32u);
  convert(gguf, back, options_of(DType::kBf16));
  expect_same_tensors(golden_folder("deepseek-v3"), back);
}

TEST(Convert, AGgufFileKeepsItsMetadataAndBytesOrTakesAnotherFormat) {
  const ScratchFolder folder;
  const fs::path first = folder.path() / "a.gguf", same = folder.path() / "b.gguf";
  const fs::path half = folder.path() / "c.gguf";
  convert(golden_folder("llama3"), first, options_of());
  convert(first, same, options_of());
  EXPECT_EQ(read_file(first).value(), read_file(same).value());
  convert(first, half, options_of(DType::kF16));
  const auto file = GgufFile::open(half);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->find("blk.0.attn_q.weight")->dtype, DType::kF16);
  EXPECT_EQ(file->find("rope_freqs.weight")->dtype, DType::kF32);
  EXPECT_EQ(file->get_uint("general.file_type").value(), 1u);
}

TEST(Convert, ThreadsAndShardsChangeNoByte) {
  const ScratchFolder folder;
  ConvertOptions options = options_of(DType::kF32);
  convert(golden_folder("deepseek-v2"), folder.path() / "one", options);
  options.writing.num_threads = 4;
  options.shard_bytes_max = 20000;
  convert(golden_folder("deepseek-v2"), folder.path() / "four", options);
  EXPECT_TRUE(fs::exists(folder.path() / "four/model.safetensors.index.json"));
  expect_same_tensors(folder.path() / "one", folder.path() / "four");
}

TEST(Convert, NothingIsLeftWhenItIsStopped) {
  const ScratchFolder folder;
  ConvertOptions options;
  options.writing.progress = [](uint64_t done, uint64_t) { return done < 20000; };
  for (const char* name : {"model.gguf", "model", "deep/er/model"}) {
    const Error error = error_of(golden_folder("llama"), folder.path() / name, options);
    EXPECT_EQ(error.code, ErrorCode::kInterrupted);
    EXPECT_FALSE(fs::exists(folder.path() / name));
  }
  EXPECT_EQ(num_entries(folder.path()), 1u);  // the parent folders "deep"
  EXPECT_EQ(num_entries(folder.path() / "deep/er"), 0u);
}

TEST(Convert, WhatIsThereIsOverwrittenOnlyOnDemandAndOnlyAModel) {
  const ScratchFolder folder;
  const fs::path model = folder.path() / "model", other = folder.path() / "other";
  convert(golden_folder("llama"), model, {});
  ASSERT_TRUE(write_file_atomic(model / "more", "x"));
  EXPECT_EQ(error_of(golden_folder("qwen2"), model).code, ErrorCode::kUsage);
  ConvertOptions force;
  force.overwrite = true;
  convert(golden_folder("qwen2"), model / "", force);  // as a shell completes it
  expect_same_tensors(golden_folder("qwen2"), model);
  EXPECT_FALSE(fs::exists(model / "more"));
  ASSERT_TRUE(write_file_atomic(other / "letter.txt", "dear"));
  EXPECT_NE(error_of(golden_folder("llama"), other, force).message.find("not overwritten"),
            std::string::npos);
  EXPECT_NE(error_of(model, model, force).message.find("holds the source"), std::string::npos);
  EXPECT_EQ(read_file(other / "letter.txt").value(), "dear");
}

// A copy of a golden folder whose config has been changed.
fs::path changed(const ScratchFolder& folder, const std::string& name, const std::string& from,
                 const std::string& to) {
  const fs::path copy = folder.path() / "changed";
  fs::remove_all(copy);
  fs::copy(golden_folder(name), copy);
  std::string config = read_file(copy / "config.json").value();
  const size_t at = config.find(from);
  EXPECT_NE(at, std::string::npos);
  config.replace(at, from.size(), to);
  EXPECT_TRUE(write_file_atomic(copy / "config.json", config));
  return copy;
}

TEST(Convert, WhatGgufCannotSayIsRefused) {
  const ScratchFolder folder;
  const auto refused = [&](const fs::path& source, const char* message) {
    const Error error = error_of(source, folder.path() / "out.gguf");
    EXPECT_NE(error.message.find(message), std::string::npos) << error.message;
    EXPECT_EQ(num_entries(folder.path()), 1u);
  };
  refused(changed(folder, "deepseek-v3", "\"mscale\": 0.707", "\"mscale\": 1.0"), "mscale");
  refused(changed(folder, "deepseek-v3", "\"rope_interleave\": true", "\"rope_interleave\": false"),
          "rope_interleave");
  refused(changed(folder, "deepseek-v3", "\"n_routed_experts\": 7", "\"n_routed_experts\": 8"),
          "expert 7 of 8 is missing");
  refused(changed(folder, "deepseek-v3", "\"n_routed_experts\": 7", "\"n_routed_experts\": 6"),
          "has 7 experts when there should be 6");
  refused(changed(folder, "deepseek-v3", "\"v_head_dim\": 6", "\"v_head_dim\": 7"),
          "should be [138, 24]");
  refused(changed(folder, "qwen3-moe", "\"norm_topk_prob\": true", "\"norm_topk_prob\": false"),
          "norm_topk_prob");
  refused(changed(folder, "llama", "\"head_dim\": 10", "\"head_dim\": 14"), "heads of 14 rows");
  refused(
      changed(folder, "llama", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false"),
      "no tensor 'lm_head.weight'");
  refused(changed(folder, "llama", "\"llama\"", "\"mamba9\""), "mamba9");
  refused(changed(folder, "llama", "{", "["), "no JSON object");
}

// Of both depths and all rows, one after the other.
std::vector<float> mtp_logits_of(const fs::path& path) {
  const auto file = ModelFile::open(path);
  EXPECT_TRUE(file) << file.error().message;
  const Device device(1, false, CpuLevel::kRef);
  LoadOptions options{Precision::kF32, 128};
  options.mtp_modules = 9;
  const auto model = load_model(device, file->weights(), file->config(), options);
  EXPECT_TRUE(model) << model.error().message;
  EXPECT_EQ((*model)->config().num_nextn_predict_layers, 2);
  ForwardBatch batch;
  batch.seq_len = 20;
  Tensor hidden;
  std::vector<float> all;
  for (int32_t depth = 0; depth <= 2; ++depth) {
    batch.tokens.clear();
    batch.positions.clear();
    for (int32_t i = 0; i < 20; ++i) {
      batch.tokens.push_back((i + depth) * (i + depth) % 61);
      batch.positions.push_back(i);
    }
    const Tensor logits = depth == 0 ? (*model)->forward({device}, batch, &hidden)
                                     : (*model)->forward_mtp({device}, batch, depth, hidden);
    all.insert(all.end(), logits.data<float>(), logits.data<float>() + logits.num_elements());
  }
  return all;
}

TEST(Convert, MtpModulesGoIntoGgufAndAnswerAsBefore) {
  const ScratchFolder folder;
  const fs::path source = golden_folder("deepseek-v3-mtp"), gguf = folder.path() / "model.gguf";
  const auto report = convert_model(source, gguf, options_of(DType::kF32));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->notes.size(), 1u);  // there is no tokenizer, and nothing was left out
  const auto file = GgufFile::open(gguf);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->get_uint("deepseek2.block_count").value(), 5u);
  EXPECT_EQ(file->get_uint("deepseek2.nextn_predict_layers").value(), 2u);
  ASSERT_NE(file->find("blk.4.nextn.eh_proj.weight"), nullptr);
  const std::vector<float> before = mtp_logits_of(source), after = mtp_logits_of(gguf);
  ASSERT_EQ(before.size(), 3u * 20 * 61);
  for (size_t i = 0; i < before.size(); ++i) ASSERT_NEAR(before[i], after[i], 2e-4) << i;
}

TEST(Convert, AnMtpModuleThatIsNotThereIsNotPromised) {
  const ScratchFolder folder;
  const fs::path source = changed(folder, "deepseek-v3", "\"num_nextn_predict_layers\": 0",
                                  "\"num_nextn_predict_layers\": 1");
  const fs::path gguf = folder.path() / "model.gguf";
  convert(source, gguf, {});
  const auto file = GgufFile::open(gguf);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->find_value("deepseek2.nextn_predict_layers"), nullptr);
  EXPECT_EQ(file->get_uint("deepseek2.block_count").value(), 2u);
}

TEST(Convert, ExpertsOfQwen3GoIntoGgufStacked) {
  const ScratchFolder folder;
  const fs::path gguf = folder.path() / "model.gguf";
  convert(golden_folder("qwen3-moe"), gguf, {});
  const auto file = GgufFile::open(gguf);
  ASSERT_TRUE(file);
  EXPECT_EQ(file->get_string("general.architecture").value(), "qwen3moe");
  EXPECT_EQ(file->get_uint("qwen3moe.expert_count").value(), 7u);
  EXPECT_EQ(file->get_uint("qwen3moe.expert_used_count").value(), 3u);
  EXPECT_EQ(file->get_uint("qwen3moe.expert_feed_forward_length").value(), 12u);
  EXPECT_EQ(file->find("blk.1.ffn_down_exps.weight")->shape, (Shape{7, 36, 12}));
  EXPECT_EQ(file->find("blk.1.ffn_gate_inp.weight")->dtype, DType::kF32);
}

TEST(Convert, LayersBeyondTheModelsAreLeftOutAndSaidSo) {
  const ScratchFolder folder;
  const fs::path source =
      changed(folder, "deepseek-v2", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 2");
  const auto report = convert_model(source, folder.path() / "out.gguf", {});
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->notes.size(), 2u);  // and there is no tokenizer
  EXPECT_NE(report->notes[1].find("model.layers.2."), std::string::npos) << report->notes[1];
}

TEST(Convert, RopeDivisorsGiveTheLlama3ScalingTheyCameFrom) {
  struct Case {
    double theta, factor, low, high;
    int64_t original, dim;
  };
  for (const Case& c : {Case{500000, 32, 1, 4, 8192, 64}, Case{500000, 8, 1, 4, 8192, 128},
                        Case{500000, 8, 1, 4, 64, 10}, Case{10000, 4, 2, 6, 4096, 96},
                        Case{1e6, 2.5, 1, 3, 2048, 32}, Case{10000, 8, 1, 4, 40, 4}}) {
    RopeScaling scaling;
    scaling.type = RopeScaling::Type::kLlama3;
    scaling.factor = c.factor;
    scaling.low_freq_factor = c.low;
    scaling.high_freq_factor = c.high;
    scaling.original_max_position_embeddings = c.original;
    const auto plain = rope_frequencies(c.dim, c.theta);
    const auto scaled = rope_frequencies(c.dim, c.theta, scaling);
    std::vector<float> divisors(plain.size());
    for (size_t i = 0; i < plain.size(); ++i) divisors[i] = plain[i] / scaled[i];
    const auto found = llama3_of_divisors(divisors, c.theta);
    ASSERT_TRUE(found) << found.error().message << " " << c.dim;
    const auto again = rope_frequencies(c.dim, c.theta, *found);
    for (size_t i = 0; i < again.size(); ++i) EXPECT_NEAR(again[i] / scaled[i], 1.0, 1e-5);
    if (c.low == 1 && c.dim >= 32) {
      EXPECT_EQ(found->original_max_position_embeddings, c.original);
    }
  }
  for (const std::vector<float>& none :
       {std::vector<float>{1, 2, 8, 3}, std::vector<float>{1, 0, 8, 8},
        std::vector<float>{1, NAN, 8, 8}, std::vector<float>{0.5, 1, 2, 2}}) {
    EXPECT_FALSE(llama3_of_divisors(none, 10000.0));
  }
}

}  // namespace
}  // namespace minke
