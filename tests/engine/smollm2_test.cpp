// Goal: a real model answers as the reference does. Method: SmolLM2-135M-Instruct against
// tests/golden/logits_smollm2.json (transformers in f32 on the same de-quantised weights, made by
// logits_smollm2.py). Skipped where the model is not there; checked builds take one prompt and a
// few of its tokens.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/engine/engine.h"
#include "minke/models/model.h"
#include "tests/base/checked_build.h"
#include "tests/golden/golden_path.h"

namespace minke {
namespace {

std::string model_path() {
  if (const char* path = std::getenv("MINKE_TEST_MODEL")) return path;
  return folders_from_environment().data / "models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf";
}

std::vector<int32_t> ids_of(const Json& array) {
  std::vector<int32_t> ids;
  for (const Json& id : array.as_array()) ids.push_back(static_cast<int32_t>(id.as_int()));
  return ids;
}

// Generates after every golden prompt; where the tokens part, the reference's two best logits must
// have been within `gap_max`.
void expect_golden_answers(Precision precision, DType kv_dtype, double gap_max) {
  const std::string path = model_path();
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no model at " << path;
  const auto text = read_file(golden_path("logits_smollm2.json"));
  ASSERT_TRUE(text) << text.error().message;
  const auto golden = parse_json(*text);
  ASSERT_TRUE(golden) << golden.error().message;
  const auto file = GgufFile::open(path);
  ASSERT_TRUE(file) << file.error().message;
  const auto device = Device::create();
  ASSERT_TRUE(device);
  const auto model = load_model(**device, *file, *config_from_gguf(*file), {precision, 1024});
  ASSERT_TRUE(model) << model.error().message;
  EngineConfig config;
  config.context_tokens = 1024;
  config.kv_dtype = kv_dtype;
  const auto engine = Engine::create(**device, **model, config);
  ASSERT_TRUE(engine) << engine.error().message;
  for (const Json& prompt : golden->find("prompts")->as_array()) {
    if (kCheckedBuild && &prompt != &golden->find("prompts")->as_array().front()) break;
    std::vector<int32_t> expected = ids_of(*prompt.find("greedy_ids"));
    if (kCheckedBuild) expected.resize(4);
    Request request;
    request.prompt = ids_of(*prompt.find("prompt_ids"));
    request.max_tokens = static_cast<int>(expected.size());
    request.sampling.temperature = 0.0;
    const auto answer = (*engine)->generate(request);
    ASSERT_TRUE(answer) << answer.error().message;
    size_t same = 0;
    while (same < expected.size() && answer->tokens[same] == expected[same]) ++same;
    if (same == expected.size()) continue;
    EXPECT_LT(prompt.find("gaps")->as_array()[same].as_double(), gap_max)
        << "parts at token " << same << " of: " << prompt.find("prompt")->as_string();
  }
}

TEST(SmolLm2, answers_as_transformers_does_in_f32) {
  expect_golden_answers(Precision::kF32, DType::kF32, 1e-3);
}

TEST(SmolLm2, answers_nearly_as_transformers_does_in_int8) {
  expect_golden_answers(Precision::kInt8, DType::kF16, 0.3);
}

}  // namespace
}  // namespace minke
