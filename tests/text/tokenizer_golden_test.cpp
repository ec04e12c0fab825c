// Goal: SmolLM2's ids are llama.cpp's. Method: texts and ids that golden/tokenizer_golden.py got
// from llama.cpp. Needs the model file, whose path is $MINKE_TEST_MODEL or where `minke pull` puts
// it; skipped without.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/format/gguf.h"
#include "minke/text/tokenizer.h"

namespace minke {
namespace {

std::filesystem::path model_path() {
  if (const char* path = std::getenv("MINKE_TEST_MODEL")) return path;
  return folders_from_environment().data / "models" / "smollm2-135m" /
         "SmolLM2-135M-Instruct.Q4_1.gguf";
}

class TokenizerGolden : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(model_path())) {
      GTEST_SKIP() << "no model at " << model_path() << "; run `minke pull smollm2-135m` or set "
                   << "MINKE_TEST_MODEL";
    }
    const auto file = GgufFile::open(model_path());
    ASSERT_TRUE(file) << file.error().message;
    auto tokenizer = Tokenizer::from_gguf(*file);
    ASSERT_TRUE(tokenizer) << tokenizer.error().message;
    tokenizer_.emplace(std::move(*tokenizer));
  }
  std::optional<Tokenizer> tokenizer_;
};

TEST_F(TokenizerGolden, IdsEqualThoseOfLlamaCpp) {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  ASSERT_NE(source, nullptr) << "MINKE_SOURCE_DIR is not set";
  const auto path = std::filesystem::path(source) / "tests/golden/tokenizer_smollm2.jsonl";
  const auto golden = read_file(path);
  ASSERT_TRUE(golden) << golden.error().message;
  std::istringstream lines(*golden);
  std::string line;
  std::getline(lines, line);  // The versions.
  int num_texts = 0;
  while (std::getline(lines, line)) {
    const auto row = parse_json(line);
    ASSERT_TRUE(row) << row.error().message;
    std::vector<int32_t> expected;
    for (const Json& id : row->find("ids")->as_array()) {
      expected.push_back(static_cast<int32_t>(id.as_int()));
    }
    ASSERT_EQ(tokenizer_->encode(row->find("text")->as_string()), expected) << line;
    ++num_texts;
  }
  EXPECT_GT(num_texts, 1000);
}

TEST_F(TokenizerGolden, SpecialTokensAndEndsAreThoseOfTheModel) {
  EXPECT_EQ(tokenizer_->vocab_size(), 49152);
  EXPECT_EQ(tokenizer_->bos(), 1);
  EXPECT_EQ(tokenizer_->eos(), 2);
  EXPECT_EQ(tokenizer_->eot(), 2);
  EXPECT_EQ(tokenizer_->end_of_generation_ids(), (std::vector<int32_t>{0, 2, 4}));
  EXPECT_EQ(tokenizer_->pretokenizer_name(), "smollm");
  EXPECT_FALSE(tokenizer_->add_bos());
  EXPECT_FALSE(tokenizer_->chat_template().empty());
  const auto ids = tokenizer_->encode("<|im_start|>user\nhi<|im_end|>", {.parse_special = true});
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(ids.back(), 2);
}

}  // namespace
}  // namespace minke
