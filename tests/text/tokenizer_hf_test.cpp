// Goal: ids equal those of Hugging Face's tokenizers for every pre-tokenizer and for Llama 2's
// kind, from tokenizer.json. Method: tiny vocabularies, texts of all planes and ids that
// golden/tokenizer_hf.py made.
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/text/tokenizer_file.h"

namespace minke {
namespace {

std::vector<std::string> lines_of(const std::filesystem::path& path) {
  const auto text = read_file(path);
  EXPECT_TRUE(text) << text.error().message;
  std::vector<std::string> lines;
  std::istringstream stream(text.value_or(""));
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

struct Row {
  const char* file;
  const char* pretokenizer;
};

class TokenizerHuggingFace : public testing::TestWithParam<Row> {};

TEST_P(TokenizerHuggingFace, IdsAreEqual) {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  ASSERT_NE(source, nullptr) << "MINKE_SOURCE_DIR is not set";
  const auto folder = std::filesystem::path(source) / "tests/golden/tokenizer_hf";
  const std::string file = GetParam().file;
  const auto tokenizer = open_tokenizer(folder / (file + ".json"));
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->pretokenizer_name(), GetParam().pretokenizer);
  const auto texts = lines_of(folder / "texts.jsonl");
  const auto expected = lines_of(folder / (file + ".ids"));
  ASSERT_GT(texts.size(), 300u);
  ASSERT_EQ(texts.size(), expected.size() + 1) << "the first line has the versions";
  for (size_t i = 0; i < expected.size(); ++i) {
    const std::string text = parse_json(texts[i + 1])->as_string();
    const auto ids = tokenizer->encode(text);
    ASSERT_EQ(Json(Json::Array(ids.begin(), ids.end())).dump(), expected[i]) << texts[i + 1];
    if (file.starts_with("qwen")) continue;  // NFC
    ASSERT_EQ(tokenizer->decode(ids), text);
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerHuggingFace,
                         testing::Values(Row{"gpt-2", "gpt-2"}, Row{"smollm", "smollm"},
                                         Row{"llama-bpe", "llama-bpe"}, Row{"qwen2", "qwen2"},
                                         Row{"qwen35", "qwen35"},
                                         Row{"deepseek-llm", "deepseek-llm"},
                                         Row{"deepseek-coder", "deepseek-coder"},
                                         Row{"deepseek-v3", "deepseek-v3"}, Row{"falcon", "falcon"},
                                         Row{"llama2", "none"}));

TEST(TokenizerFile, AFolderOrFileThatIsNoneIsNamed) {
  const char* source = std::getenv("MINKE_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  const auto folder = std::filesystem::path(source);
  EXPECT_EQ(open_tokenizer(folder).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(open_tokenizer(folder / "none.json").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(open_tokenizer(folder / "CMakePresets.json").error().message,
            "tokenizer.json: minke does not know the member 'configurePresets'");
}

}  // namespace
}  // namespace minke
