// Goal: settings come from recipes and flags with their limits, and a wrong one is named with its
// line. Method: a config of every kind of field.
#include "minke/train/settings.h"

#include <gtest/gtest.h>

#include "minke/base/files.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

struct Config {
  int64_t steps = 10;
  double lr = 0.5;
  bool sampled = false;
  std::string data = "d";
  std::vector<std::string> targets{"all"};
  uint64_t seed = 1;
  int threads = 0;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor("steps", steps, 1.0, 1e12, "");
    visitor("lr", lr, 0.0, 1.0, "");
    visitor("sampled", sampled, "");
    visitor("data", data, "");
    visitor("targets", targets, "");
    visitor("seed", seed, "");
    visitor("threads", threads, 0.0, 8.0, "");
  }
};

std::string error_of(const char* json) {
  Config config;
  const Result<void> set = SettingFields(config).set(
      *parse_json(json), [](const std::string& key) { return "r.toml:" + key; });
  return set ? "" : set.error().message;
}

TEST(SettingFields, SetsAndTellsEveryKind) {
  Config config;
  const SettingFields fields(config);
  const Json values = *parse_json(
      R"({"steps":3,"lr":1,"sampled":true,"data":"x","targets":["a","b"],"seed":9,"threads":2})");
  ASSERT_TRUE(fields.set(values, [](const std::string&) { return ""; }));
  EXPECT_EQ(config.steps, 3);
  EXPECT_EQ(config.lr, 1.0);
  EXPECT_TRUE(config.sampled);
  EXPECT_EQ(config.targets, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(config.seed, 9u);
  Config again;
  ASSERT_TRUE(SettingFields(again).set(fields.values(), [](const std::string&) { return ""; }));
  EXPECT_EQ(SettingFields(again).values().dump(), fields.values().dump());
}

TEST(SettingFields, NamesWhatIsWrong) {
  EXPECT_EQ(error_of(R"({"step": 3})"),
            "r.toml:step: there is no setting 'step', did you mean steps?");
  EXPECT_NE(error_of(R"({"steps": 0})").find("r.toml:steps: steps: 0 is out of range"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"steps": 1.5})").find("expected a whole number"), std::string::npos);
  EXPECT_NE(error_of(R"({"lr": "fast"})").find("expected a number"), std::string::npos);
  EXPECT_NE(error_of(R"({"sampled": 1})").find("expected true or false"), std::string::npos);
  EXPECT_NE(error_of(R"({"data": 1})").find("expected a string"), std::string::npos);
  EXPECT_NE(error_of(R"({"targets": [1]})").find("expected a string"), std::string::npos);
  EXPECT_NE(error_of(R"({"seed": 1.5})").find("seed"), std::string::npos);
}

TEST(SettingFields, CopiesWhatIsChosen) {
  Config flags;
  flags.steps = 7;
  flags.lr = 0.25;
  Config resolved;
  SettingFields(resolved).copy(SettingFields(flags),
                               [](const std::string& name) { return name == "lr"; });
  EXPECT_EQ(resolved.steps, 10);
  EXPECT_EQ(resolved.lr, 0.25);
}

TEST(Recipe, HasSettingsAModelAndTheirLines) {
  const ScratchFolder folder;
  const auto path = folder.path() / "r.toml";
  ASSERT_TRUE(write_file_atomic(path, "stage = \"pretrain\"\n\nlr = 2\n[model]\nwidth = 8\n"));
  const Result<Recipe> recipe = Recipe::open(path, "pretrain");
  ASSERT_TRUE(recipe) << recipe.error().message;
  EXPECT_EQ(recipe->settings.dump(), R"({"lr":2})");
  EXPECT_EQ(recipe->model.dump(), R"({"width":8})");
  EXPECT_EQ(recipe->where("lr"), path.string() + ":3");
  const Result<Recipe> other = Recipe::open(path, "sft");
  ASSERT_FALSE(other);
  EXPECT_NE(other.error().message.find("expected stage = \"sft\""), std::string::npos);
}

}  // namespace
}  // namespace minke
