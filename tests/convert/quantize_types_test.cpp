// Goal: a mixture gives each tensor the format that llama-quantize gives it, and a user's rules
// come first. Method: lists that llama-quantize made (tests/golden/quantize/quantize_types.py).
#include "minke/convert/quantize_types.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "minke/base/json.h"

namespace minke {
namespace {

DType dtype_of_letter(char letter) {
  switch (letter) {
    case 'h':
      return DType::kF16;
    case 'b':
      return DType::kBf16;
    case '8':
      return DType::kQ8_0;
    case '6':
      return DType::kQ6_K;
    case '5':
      return DType::kQ5_K;
    case '4':
      return DType::kQ4_K;
    case '3':
      return DType::kQ3_K;
    case '2':
      return DType::kQ2_K;
    case 't':
      return DType::kQ5_1;
    case 's':
      return DType::kQ5_0;
    case 'r':
      return DType::kQ4_1;
    case 'q':
      return DType::kQ4_0;
    default:
      return DType::kF32;
  }
}

std::vector<WeightDeclaration> tensors_of(const Json& line) {
  std::vector<WeightDeclaration> tensors;
  for (const auto& [name, sizes] : line.find("tensors")->as_object()) {
    WeightDeclaration tensor{name, DType::kF32, {}};
    for (const Json& size : sizes.as_array()) tensor.shape.push_back(size.as_int());
    tensors.push_back(tensor);
  }
  return tensors;
}

QuantizedModel model_of(const Json& facts) {
  QuantizedModel model;
  model.architecture = facts.find("architecture")->as_string();
  model.num_layers = facts.find("layers")->as_int();
  model.num_heads = facts.find("heads")->as_int();
  model.num_kv_heads = facts.find("kv_heads")->as_int();
  model.num_experts = facts.find("experts")->as_int();
  return model;
}

TEST(QuantizeTypes, AreThoseOfLlamaQuantize) {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  std::ifstream file(std::filesystem::path(source) / "tests/golden/quantize/types.jsonl");
  std::string text;
  std::getline(file, text);  // versions
  int num_lists = 0;
  while (std::getline(file, text)) {
    const auto line = parse_json(text);
    ASSERT_TRUE(line);
    const std::vector<WeightDeclaration> tensors = tensors_of(*line);
    QuantizedModel model = model_of(*line->find("facts"));
    for (const auto& [kind, letters] : line->find("types")->as_object()) {
      const std::string name = kind.substr(0, kind.find(' '));
      model.has_importance = name != kind;
      const MixtureInfo* mixture = find_mixture(name);
      ASSERT_NE(mixture, nullptr) << name;
      const std::vector<DType> dtypes = choose_dtypes(*mixture, model, tensors);
      ASSERT_EQ(letters.as_string().size(), tensors.size());
      for (size_t i = 0; i < tensors.size(); ++i) {
        const DType expected = dtype_of_letter(letters.as_string()[i]);
        EXPECT_EQ(dtype_info(dtypes[i]).name, dtype_info(expected).name)
            << line->find("model")->as_string() << ", " << kind << ": " << tensors[i].name;
      }
      ++num_lists;
    }
  }
  EXPECT_GE(num_lists, 7 * 19);
}

TEST(QuantizeTypes, DoNotDependOnTheOrderOfTheTensors) {
  std::vector<WeightDeclaration> tensors;
  for (int i = 0; i < 24; ++i) {
    tensors.push_back({fmt::format("blk.{}.attn_v.weight", i), DType::kF16, {256, 512}});
    tensors.push_back({fmt::format("blk.{}.ffn_down.weight", i), DType::kF16, {256, 512}});
  }
  QuantizedModel model{"llama", 24, 8, 8, 0, false};
  const auto forwards = choose_dtypes(*find_mixture("q4_k_m"), model, tensors);
  std::reverse(tensors.begin(), tensors.end());
  auto backwards = choose_dtypes(*find_mixture("Q4_K"), model, tensors);
  std::reverse(backwards.begin(), backwards.end());
  EXPECT_EQ(forwards, backwards);
  EXPECT_GT(std::count(forwards.begin(), forwards.end(), DType::kQ6_K), 10);
}

TEST(QuantizeTypes, TheFirstRuleThatMatchesWins) {
  const std::vector<WeightDeclaration> tensors = {
      {"blk.0.ffn_down.weight", DType::kF16, {256, 512}},
      {"blk.1.ffn_down.weight", DType::kF16, {256, 96}},
      {"blk.0.attn_norm.weight", DType::kF32, {256}},
      {"output.weight", DType::kF16, {256, 512}}};
  const auto first = DTypeRule::parse("blk.0.*=q8_0"), second = DTypeRule::parse("*=Q6_K");
  ASSERT_TRUE(first && second);
  const std::vector<DTypeRule> rules = {*first, *second};
  std::vector<DType> dtypes = {DType::kQ4_K, DType::kQ4_K, DType::kF32, DType::kQ6_K};
  ASSERT_TRUE(apply_rules(rules, tensors, dtypes));
  EXPECT_EQ(dtypes, (std::vector<DType>{DType::kQ8_0, DType::kQ8_0, DType::kF32, DType::kQ6_K}))
      << "rows of 96 take q8_0 for q6_k, and a norm stays as it is";
}

TEST(QuantizeTypes, RulesThatCannotBeMeantAreErrors) {
  for (const char* text : {"", "Q4_K", "=Q4_K", "*.weight=", "*.weight=q9", "*.weight=iq4_nl"}) {
    const auto rule = DTypeRule::parse(text);
    ASSERT_FALSE(rule) << text;
    EXPECT_EQ(rule.error().code, ErrorCode::kUsage);
  }
  const std::vector<WeightDeclaration> tensors = {{"output.weight", DType::kF16, {256, 512}}};
  std::vector<DType> dtypes = {DType::kQ6_K};
  const std::vector<DTypeRule> rules = {{"*.ffn_up.*", DType::kQ8_0}};
  const auto applied = apply_rules(rules, tensors, dtypes);
  ASSERT_FALSE(applied);
  EXPECT_NE(applied.error().message.find("*.ffn_up.*"), std::string::npos);
}

}  // namespace
}  // namespace minke
