// Goal: checkpoints that transformers wrote give the logits that transformers gives, in one chunk,
// in chunks and token by token through the cache. Method: tests/golden/hf_models.py.
#include <gtest/gtest.h>

#include <filesystem>

#include "minke/format/safetensors.h"
#include "minke/models/hf_names.h"
#include "minke/models/model_file.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"
#include "tests/models/cached_logits.h"
#include "tests/models/golden_tensors.h"
#include "tests/models/tiny_llama.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder() { return golden_path("hf"); }

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(golden_folder())) {
    names.push_back(entry.path().filename().string());
  }
  return names;
}

// What transformers said of a checkpoint.
struct Golden {
  std::vector<int32_t> ids;
  std::vector<float> logits;  // [ids, vocab]

  explicit Golden(const fs::path& folder) {
    const auto expected = SafetensorsFile::open(folder / "expected.safetensors");
    EXPECT_TRUE(expected) << expected.error().message;
    ids = golden_values<int32_t>(*expected, "ids");
    logits = golden_values<float>(*expected, "logits");
  }
};

TEST(HfModels, GiveTheLogitsOfTransformers) {
  ASSERT_GE(cases().size(), 10u);
  for (const std::string& name : cases()) {
    const fs::path folder = golden_folder() / name;
    const Golden golden(folder);
    const auto file = ModelFile::open(folder);
    ASSERT_TRUE(file) << file.error().message;
    for (const CpuLevel level : supported_levels()) {
      const Device device(2, false, level);
      const auto model =
          load_model(device, file->weights(), file->config(), {Precision::kF32, 128});
      ASSERT_TRUE(model) << name << ": " << model.error().message;
      std::vector<float> whole;
      for (const size_t chunk : {size_t{512}, size_t{7}, size_t{1}}) {
        const auto found = cached_logits(device, **model, golden.ids, chunk, DType::kF32);
        EXPECT_LE(worst_difference(found, golden.logits), 2e-4f)
            << name << " " << cpu_level_name(level) << " chunks of " << chunk;
        if (whole.empty()) whole = found;
        EXPECT_EQ(found, whole) << name << ": chunks change bits";
      }
    }
  }
}

// MLA over a cache of latents. Prompts have the same bits in every chunk; what is generated after
// them takes the absorbed form, in chunks of one token or several, and stays near.
TEST(HfModels, LatentCachesGiveTheSameLogitsExpandedAndAbsorbed) {
  int num_models = 0;
  for (const std::string& name : cases()) {
    const fs::path folder = golden_folder() / name;
    const Golden golden(folder);
    const auto file = ModelFile::open(folder);
    ASSERT_TRUE(file) << file.error().message;
    if (file->config().mla.kv_lora_rank == 0) continue;
    ++num_models;
    for (const CpuLevel level : supported_levels()) {
      const Device device(2, false, level);
      const auto model =
          load_model(device, file->weights(), file->config(), {Precision::kF32, 128, true});
      ASSERT_TRUE(model) << name << ": " << model.error().message;
      const auto of_prompt = [&](size_t chunk, DType kv) {
        return cached_logits(device, **model, golden.ids, chunk, kv);
      };
      for (const auto& [kv, near] :
           {std::pair{DType::kF32, 2e-4f}, {DType::kF16, 1e-2f}, {DType::kI8, 1.5f}}) {
        const auto whole = of_prompt(512, kv);
        EXPECT_LE(worst_difference(whole, golden.logits), near) << name;
        EXPECT_EQ(of_prompt(7, kv), whole) << name << ": chunks change bits";
        const auto generated = cached_logits(device, **model, golden.ids, 1, kv, 5);
        EXPECT_LE(worst_difference(generated, whole), 1e-3f)
            << name << " " << cpu_level_name(level) << " " << dtype_info(kv).name;
        EXPECT_NE(generated, whole) << name << ": the absorbed form is not in use";
      }
      const auto guessed = cached_logits(device, **model, golden.ids, 3, DType::kF16, 6);
      EXPECT_EQ(guessed, cached_logits(device, **model, golden.ids, 1, DType::kF16, 6)) << name;
    }
  }
  EXPECT_GE(num_models, 2);
}

TEST(HfModels, NamesTranslateBothWays) {
  EXPECT_EQ(gguf_name_of("model.layers.12.self_attn.q_proj.weight"), "blk.12.attn_q.weight");
  EXPECT_EQ(hf_name_of("blk.12.attn_q.weight", "llama"), "model.layers.12.self_attn.q_proj.weight");
  EXPECT_EQ(gguf_name_of("model.layers.3.mlp.experts.17.up_proj.weight"),
            "blk.3.ffn_up_exps.17.weight");
  EXPECT_EQ(gguf_name_of("model.embed_tokens.weight"), "token_embd.weight");
  EXPECT_EQ(gguf_name_of("transformer.h.3.mlp.c_fc.weight"), "blk.3.ffn_up.weight");
  EXPECT_EQ(gguf_name_of("h.3.mlp.c_fc.weight"), "blk.3.ffn_up.weight");
  EXPECT_EQ(hf_name_of("blk.3.ffn_up.weight", "gpt2"), "transformer.h.3.mlp.c_fc.weight");
  EXPECT_EQ(hf_name_of("blk.3.ffn_up.weight", "llama"), "model.layers.3.mlp.up_proj.weight");
  for (const char* name : {"", "model.layers..self_attn.q_proj.weight", "model.layers.1.mlp",
                           "model.layers.1x.self_attn.q_proj.weight", "lm_head.weight2"}) {
    EXPECT_EQ(gguf_name_of(name), std::nullopt) << name;
  }
}

// What config_from_hf makes of a working config with one setting changed.
std::string error_with(const std::string& field, const std::string& value) {
  std::string text =
      R"({"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 36, "intermediate_size": 40,
          "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 512,
          "vocab_size": 61, "rms_norm_eps": 1e-5, "rope_theta": 10000.0)";
  if (!field.empty()) text += fmt::format(R"(, "{}": {})", field, value);
  const auto config = config_from_hf(text + "}");
  return config ? "" : config.error().message;
}

TEST(HfModels, ConfigsThatCannotBeNameTheSetting) {
  EXPECT_EQ(error_with("", ""), "");
  EXPECT_EQ(error_with("head_dim", "null"), "");
  EXPECT_EQ(error_with("rope_scaling", "null"), "");
  EXPECT_EQ(error_with("rope_scaling", R"({"type": "linear", "factor": 2})"), "");
  const std::pair<const char*, const char*> wrong[] = {{"num_hidden_layers", "0"},
                                                       {"num_hidden_layers", "\"2\""},
                                                       {"hidden_size", "2.5"},
                                                       {"num_key_value_heads", "7"},
                                                       {"num_key_value_heads", "-1"},
                                                       {"vocab_size", "99999999999999999999"},
                                                       {"rms_norm_eps", "true"},
                                                       {"tie_word_embeddings", "1"},
                                                       {"max_position_embeddings", "0"},
                                                       {"rope_theta", "0"},
                                                       {"rope_scaling", "3"},
                                                       {"head_dim", "[]"}};
  for (const auto& [field, value] : wrong) {
    const std::string message = error_with(field, value);
    EXPECT_NE(message.find(fmt::format("config.json: {}", field)), std::string::npos)
        << field << " " << value << ": " << message;
  }
  EXPECT_NE(error_with("num_key_value_heads", "4").find("multiple of kv heads"), std::string::npos);
  EXPECT_NE(error_with("head_dim", "7").find("even"), std::string::npos);
  EXPECT_NE(error_with("attention_bias", "true").find("attention_bias"), std::string::npos);
  EXPECT_NE(error_with("model_type", "\"mamba9\"").find("llama, qwen2, qwen3, qwen3moe"),
            std::string::npos);
  EXPECT_NE(error_with("rope_scaling", R"({"type": "dynamic", "factor": 2})").find("dynamic"),
            std::string::npos);
  for (const char* rope :
       {R"({"type": "linear", "factor": 0})", R"({"type": "linear"})",
        R"({"type": "llama3", "factor": 8, "low_freq_factor": 4, "high_freq_factor": 4})",
        R"({"type": "yarn", "factor": -1})", R"({"type": "yarn", "factor": 2, "beta_slow": 0})"}) {
    EXPECT_NE(error_with("rope_parameters", rope), "") << rope;
  }
  const std::string fp8 = R"({"quant_method": "fp8", "weight_block_size": [128, 128])";
  EXPECT_EQ(error_with("quantization_config", fp8 + "}"), "");
  EXPECT_EQ(error_with("quantization_config", fp8 + R"(, "fmt": "e4m3", "scale_fmt": "ue8m0"})"),
            "");
  for (const auto& [quantization, named] :
       {std::pair<std::string, const char*>{R"({"quant_method": "gptq", "bits": 4})", "'gptq'"},
        {R"({"quant_method": "compressed-tensors"})", "'compressed-tensors'"},
        {fp8 + R"(, "fmt": "e5m2"})", "e5m2"},
        {fp8 + R"(, "scale_fmt": "e4m3"})", "scales e4m3"},
        {R"({"bits": 4})", "quant_method is missing"},
        {R"({"quant_method": "fp8"})", "weight_block_size is missing"},
        {R"({"quant_method": "fp8", "weight_block_size": [128]})", "weight_block_size is [128]"},
        {R"({"quant_method": "fp8", "weight_block_size": [0, 128]})", "weight_block_size is [0,"},
        {"[]", "quantization_config is []"}}) {
    const std::string message = error_with("quantization_config", quantization);
    EXPECT_NE(message.find(named), std::string::npos) << quantization << ": " << message;
  }
  EXPECT_FALSE(config_from_hf("[]"));
  EXPECT_FALSE(config_from_hf("{"));
  EXPECT_FALSE(config_from_hf("{}"));
}

// What DeepSeek's config makes of its gate, or the error.
Result<ModelConfig> deepseek(const std::string& version, const std::string& more) {
  return config_from_hf(R"({"model_type": "deepseek_)" + version +
                        R"(", "num_hidden_layers": 2, "hidden_size": 36, "intermediate_size": 40,
          "num_attention_heads": 6, "max_position_embeddings": 512, "vocab_size": 61,
          "kv_lora_rank": 24, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
          "n_routed_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 12,
          "n_group": 4, "topk_group": 2)" +
                        more + "}");
}

TEST(HfModels, DeepSeeksGatesAreToldApart) {
  const auto v3 = deepseek("v3", R"(, "scoring_func": "sigmoid", "topk_method": "noaux_tc")");
  ASSERT_TRUE(v3) << v3.error().message;
  EXPECT_TRUE(v3->moe.routing.sigmoid && v3->moe.routing.two_best_of_group && v3->moe.has_bias);
  EXPECT_TRUE(v3->moe.routing.normalizes);
  EXPECT_FALSE(deepseek("v3", R"(, "norm_topk_prob": false)")->moe.routing.normalizes);
  const auto v2 = deepseek("v2", R"(, "topk_method": "group_limited_greedy")");
  ASSERT_TRUE(v2) << v2.error().message;
  EXPECT_FALSE(v2->moe.routing.sigmoid || v2->moe.routing.two_best_of_group || v2->moe.has_bias);
  EXPECT_FALSE(v2->moe.routing.normalizes);
  EXPECT_EQ(v2->moe.routing.groups_kept, 2);
  EXPECT_EQ(deepseek("v2", "")->moe.routing.groups_kept, 4) << "greedy chooses among all";
  for (const auto& [version, more, named] :
       {std::tuple{"v3", R"(, "scoring_func": "softmax")", "scoring_func is 'softmax'"},
        {"v3", R"(, "topk_method": "greedy")", "topk_method is 'greedy'"},
        {"v2", R"(, "scoring_func": "sigmoid")", "scoring_func is 'sigmoid'"},
        {"v2", R"(, "norm_topk_prob": true)", "norm_topk_prob"},
        {"v2", R"(, "topk_method": "noaux_tc")", "topk_method is 'noaux_tc'"}}) {
    const auto config = deepseek(version, more);
    ASSERT_FALSE(config) << version << more;
    EXPECT_NE(config.error().message.find(named), std::string::npos) << config.error().message;
  }
}

TEST(HfModels, AFolderWithoutAModelSaysWhatIsMissing) {
  const ScratchFolder folder;
  const auto file = ModelFile::open(folder.path());
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::kNotFound);
  EXPECT_NE(file.error().message.find("config.json"), std::string::npos);
}

}  // namespace
}  // namespace minke
