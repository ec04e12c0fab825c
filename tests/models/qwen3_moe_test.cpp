// Goal: Qwen3's mixture of experts is read from config.json of either age and from GGUF, and what
// cannot be is refused. Method: the golden checkpoint of tests/golden/hf/qwen3-moe, also rewritten
// as GGUF, where the experts of a layer are one tensor.
#include <gtest/gtest.h>

#include <filesystem>

#include "minke/format/gguf_writer.h"
#include "minke/models/model_file.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"
#include "tests/models/cached_logits.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

fs::path golden() { return golden_path("hf/qwen3-moe"); }

Result<ModelConfig> config_with(const std::string& more) {
  return config_from_hf(
      R"({"model_type": "qwen3_moe", "num_hidden_layers": 6, "hidden_size": 36,
          "intermediate_size": 40, "num_attention_heads": 6, "num_key_value_heads": 2,
          "head_dim": 10, "max_position_embeddings": 512, "vocab_size": 61, "rms_norm_eps": 1e-6,
          "moe_intermediate_size": 12, )" +
      more + "}");
}

std::string layers_with_experts(const ModelConfig& config) {
  std::string out;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    if (config.moe.has_experts(i)) out += std::to_string(i);
  }
  return out;
}

TEST(Qwen3Moe, ConfigsOfEitherAgeAreRead) {
  for (const char* count : {"num_experts", "num_local_experts"}) {
    const auto config = config_with(
        fmt::format(R"("{}": 7, "num_experts_per_tok": 3, "norm_topk_prob": true)", count));
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->moe.n_routed_experts, 7);
    EXPECT_EQ(config->moe.routing.top_k, 3);
    EXPECT_TRUE(config->moe.routing.normalizes);
    EXPECT_FALSE(config->moe.routing.sigmoid);
    EXPECT_TRUE(config->has_qk_norm);
    EXPECT_EQ(layers_with_experts(*config), "012345");
  }
}

TEST(Qwen3Moe, SomeLayersAreDense) {
  const std::string experts = R"("num_experts": 7, "num_experts_per_tok": 3)";
  for (const auto& [more, layers] : {std::pair<std::string, const char*>{"", "012345"},
                                     {R"(, "mlp_only_layers": [0, 4])", "1235"},
                                     {R"(, "decoder_sparse_step": 2)", "135"},
                                     {R"(, "decoder_sparse_step": 7)", ""},
                                     {R"(, "decoder_sparse_step": 3, "mlp_only_layers": [2])", "5"},
                                     {R"(, "mlp_only_layers": null)", "012345"}}) {
    const auto config = config_with(experts + more);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(layers_with_experts(*config), layers) << more;
    EXPECT_FALSE(config->moe.routing.normalizes) << "transformers' default";
  }
}

TEST(Qwen3Moe, ConfigsThatCannotBeNameTheSetting) {
  for (const auto& [more, named] :
       {std::pair<const char*, const char*>{R"("num_experts_per_tok": 3)",
                                            "num_experts is missing"},
        {R"("num_experts": 0, "num_experts_per_tok": 1)", "num_experts is 0"},
        {R"("num_experts": 4, "num_experts_per_tok": 5)", "num_experts_per_tok is 5"},
        {R"("num_experts": 4, "num_experts_per_tok": 1, "decoder_sparse_step": 0)",
         "decoder_sparse_step is 0"},
        {R"("num_experts": 4, "num_experts_per_tok": 1, "mlp_only_layers": [1, -1])",
         "mlp_only_layers is [1,-1]"},
        {R"("num_experts": 4, "num_experts_per_tok": 1, "mlp_only_layers": 1)",
         "mlp_only_layers is 1"}}) {
    const auto config = config_with(more);
    ASSERT_FALSE(config) << more;
    EXPECT_NE(config.error().message.find(named), std::string::npos) << config.error().message;
  }
}

// The checkpoint as llama.cpp's converter would write it.
void write_gguf(const ModelFile& from, const fs::path& path) {
  const ModelConfig& config = from.config();
  GgufWriter writer;
  writer.add("general.architecture", "qwen3moe");
  const auto add = [&](const char* key, int64_t value) {
    writer.add(fmt::format("qwen3moe.{}", key), static_cast<uint32_t>(value));
  };
  add("block_count", config.num_hidden_layers);
  add("context_length", config.max_position_embeddings);
  add("embedding_length", config.hidden_size);
  add("feed_forward_length", config.intermediate_size);
  add("attention.head_count", config.num_attention_heads);
  add("attention.head_count_kv", config.num_key_value_heads);
  add("attention.key_length", config.head_dim);
  add("attention.value_length", config.head_dim);
  add("expert_count", config.moe.n_routed_experts);
  add("expert_used_count", config.moe.routing.top_k);
  add("expert_feed_forward_length", config.moe.moe_intermediate_size);
  writer.add("qwen3moe.attention.layer_norm_rms_epsilon", static_cast<float>(config.rms_norm_eps));
  writer.add("qwen3moe.rope.freq_base", static_cast<float>(config.rope_theta));
  for (const WeightInfo& info : from.weights().weights()) {
    const size_t at = info.name.find("_exps.");
    if (at == std::string::npos) {
      writer.add_tensor(info.name, info.dtype, info.shape, info.bytes);
    } else if (info.name.substr(at) == "_exps.0.weight") {
      const std::string stem = info.name.substr(0, at) + "_exps";
      std::vector<std::byte> all;
      for (int64_t e = 0; e < config.moe.n_routed_experts; ++e) {
        const WeightInfo* one = from.weights().find(fmt::format("{}.{}.weight", stem, e));
        ASSERT_NE(one, nullptr);
        all.insert(all.end(), one->bytes.begin(), one->bytes.end());
      }
      writer.add_tensor(stem + ".weight", info.dtype,
                        {config.moe.n_routed_experts, info.shape[0], info.shape[1]}, all);
    }
  }
  ASSERT_TRUE(writer.write(path));
}

TEST(Qwen3Moe, GgufGivesTheSameBits) {
  const auto folder = ModelFile::open(golden());
  ASSERT_TRUE(folder) << folder.error().message;
  const ScratchFolder scratch;
  write_gguf(*folder, scratch.path() / "moe.gguf");
  const auto gguf = ModelFile::open(scratch.path() / "moe.gguf");
  ASSERT_TRUE(gguf) << gguf.error().message;
  const Device device(2, false, CpuLevel::kRef);
  std::vector<float> logits[2];
  for (const ModelFile* file : {&*folder, &*gguf}) {
    const auto model = load_model(device, file->weights(), file->config(), {Precision::kF32, 16});
    ASSERT_TRUE(model) << model.error().message;
    logits[file == &*gguf] = cached_logits(device, **model, {1, 5, 9, 60, 0}, 5, DType::kF32);
  }
  EXPECT_EQ(logits[0], logits[1]);
}

}  // namespace
}  // namespace minke
