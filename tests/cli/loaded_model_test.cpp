// Goal: what a model is said to read and compute for a token. Method: a mixture of experts whose
// parts are counted from its settings.
#include "minke/cli/loaded_model.h"
#include "tests/golden/golden_path.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

namespace fs = std::filesystem;

Result<LoadedModel> golden_model(const std::string& name) {
  return load_model_without_text(golden_path("hf") / name, {}, Console{});
}

// Weights of the layers' matmuls with so many of the routed experts.
double layer_weights(const ModelConfig& config, double experts) {
  const MlaConfig& mla = config.mla;
  const auto hidden = static_cast<double>(config.hidden_size);
  const auto heads = static_cast<double>(config.num_attention_heads);
  const auto q_rank = static_cast<double>(mla.q_lora_rank);
  const auto kv_rank = static_cast<double>(mla.kv_lora_rank);
  const auto nope = static_cast<double>(mla.qk_nope_head_dim);
  const auto rope = static_cast<double>(mla.qk_rope_head_dim);
  const auto v = static_cast<double>(mla.v_head_dim);
  const double attention = hidden * q_rank + q_rank * heads * (nope + rope) +
                           hidden * (kv_rank + rope) + kv_rank * heads * (nope + v) +
                           heads * v * hidden;
  const MoeConfig& moe = config.moe;
  const double dense = 3 * hidden * static_cast<double>(config.intermediate_size);
  const double mixture = hidden * static_cast<double>(moe.n_routed_experts) +
                         3 * hidden * static_cast<double>(moe.moe_intermediate_size) *
                             (experts + static_cast<double>(moe.n_shared_experts));
  const auto layers = static_cast<double>(config.num_hidden_layers);
  const auto dense_layers = static_cast<double>(moe.first_k_dense_replace);
  return layers * attention + dense_layers * dense + (layers - dense_layers) * mixture;
}

double norm_weights(const ModelConfig& config) {
  const MlaConfig& mla = config.mla;
  return static_cast<double>(config.num_hidden_layers *
                                 (2 * config.hidden_size + mla.q_lora_rank + mla.kv_lora_rank) +
                             config.hidden_size);
}

TEST(LoadedModel, CountsTheChosenExpertsOnly) {
  const Result<LoadedModel> model = golden_model("deepseek-v2");
  ASSERT_TRUE(model) << model.error().message;
  const ModelConfig& config = model->model->config();
  const auto top_k = static_cast<double>(config.moe.routing.top_k);
  const auto experts = static_cast<double>(config.moe.n_routed_experts);
  ASSERT_LT(top_k, experts);
  ASSERT_GT(config.mla.q_lora_rank, 0);

  const ModelCost one = model->cost(1);
  EXPECT_DOUBLE_EQ(one.linear_parameters, layer_weights(config, top_k));
  constexpr double kBf16Bytes = 2;
  const double others = norm_weights(config) + one.head_parameters;
  EXPECT_DOUBLE_EQ(one.bytes_per_step, kBf16Bytes * (layer_weights(config, top_k) + others));

  // Two tokens share as many of their experts as even draws do; hundreds need all of them.
  const ModelCost two = model->cost(2);
  EXPECT_DOUBLE_EQ(two.linear_parameters, one.linear_parameters);
  const double by_two = 2 * top_k - top_k * top_k / experts;
  EXPECT_DOUBLE_EQ(two.bytes_per_step, kBf16Bytes * (layer_weights(config, by_two) + others));
  EXPECT_NEAR(model->cost(500).bytes_per_step,
              kBf16Bytes * (layer_weights(config, experts) + others), 1e-6);
}

TEST(LoadedModel, CountsEveryWeightOfADenseModelWhateverTheBatch) {
  const Result<LoadedModel> model = golden_model("qwen3");
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_GT(model->cost(1).linear_parameters, 0);
  EXPECT_EQ(model->cost(1).bytes_per_step, model->cost(64).bytes_per_step);
}

}  // namespace
}  // namespace minke
