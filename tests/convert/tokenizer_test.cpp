// Goal: a tokenizer converted between tokenizer.json and GGUF cuts text as before. Method: the
// published pipelines of tests/golden/tokenizer_hf there and back, on its texts.
#include <gtest/gtest.h>

#include "minke/convert/gguf_tokenizer.h"
#include "minke/convert/hf_tokenizer.h"
#include "minke/format/gguf_writer.h"
#include "minke/text/pretokenizer.h"
#include "minke/text/split_steps.h"
#include "minke/text/tokenizer_file.h"
#include "tests/golden/golden_path.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

fs::path golden_folder() { return golden_path("tokenizer_hf"); }

std::vector<std::string> texts() {
  std::vector<std::string> out;
  const std::string all = read_file(golden_folder() / "texts.jsonl").value();
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\n', at), all.size());
    const auto text = parse_json(std::string_view(all).substr(at, end - at));
    if (text && text->is_string()) out.push_back(text->as_string());
    at = end + 1;
  }
  return out;
}

struct Converted {
  std::string gguf;
  HfTokenizer hf;
};

Result<Converted> convert(const std::string& json, const std::string& config, int64_t vocab_size) {
  const ScratchFolder folder;
  MK_TRY(write_file_atomic(folder.path() / "tokenizer.json", json));
  MK_TRY(write_file_atomic(folder.path() / "tokenizer_config.json", config));
  const HfFolder source{folder.path(), Json::object(), {}};
  GgufWriter writer;
  MK_ASSIGN(const bool found, add_gguf_tokenizer(source, vocab_size, writer));
  EXPECT_TRUE(found);
  Converted out{writer.serialize(), {}};
  MK_ASSIGN(const GgufFile file, GgufFile::parse(std::as_bytes(std::span(out.gguf))));
  MK_ASSIGN(out.hf, hf_tokenizer(file));
  return out;
}

TEST(ConvertTokenizer, EveryPublishedPipelineCutsAsBeforeInBothFormats) {
  int num_checked = 0;
  for (const char* name : {"gpt-2", "smollm", "llama-bpe", "qwen2", "deepseek-llm",
                           "deepseek-coder", "deepseek-v3", "falcon", "qwen35"}) {
    SCOPED_TRACE(name);
    TokenizerTexts given;
    given.tokenizer_json = read_file(golden_folder() / fmt::format("{}.json", name)).value();
    const auto before = Tokenizer::from_json(given);
    ASSERT_TRUE(before) << before.error().message;
    const auto converted = convert(given.tokenizer_json, "{}", before->vocab_size() + 5);
    ASSERT_TRUE(converted) << converted.error().message;
    const auto file = GgufFile::parse(std::as_bytes(std::span(converted->gguf)));
    const auto between = Tokenizer::from_gguf(*file);
    ASSERT_TRUE(between) << between.error().message;
    EXPECT_EQ(between->vocab_size(), before->vocab_size() + 5);
    TokenizerTexts made;
    made.tokenizer_json = converted->hf.tokenizer_json.dump();
    const auto after = Tokenizer::from_json(made);
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_EQ(after->vocab_size(), before->vocab_size()) << "the filling is not a token";
    for (const std::string& text : texts()) {
      ++num_checked;
      const auto ids = between->encode(text);
      EXPECT_EQ(after->encode(text), ids) << text;
      // GGUF cannot say that text is brought to normal form C, nor what becomes of bytes without
      // a token before the merges.
      if (before->decode(before->encode(text)) != text) continue;
      EXPECT_EQ(before->encode(text), ids) << text;
    }
  }
  EXPECT_GT(num_checked, 1000);
}

std::string tiny_json(const std::string& pre_tokenizer, const std::string& added) {
  std::string vocabulary;
  for (int i = 0; i < 94; ++i) {
    std::string letter(1, static_cast<char>('!' + i));
    if (letter == "\"" || letter == "\\") letter = "\\" + letter;
    vocabulary += fmt::format(R"("{}": {}, )", letter, i);
  }
  return fmt::format(R"({{"version": "1.0", "added_tokens": [{}], "normalizer": null,
      "pre_tokenizer": {}, "post_processor": null, "decoder": {{"type": "ByteLevel"}},
      "model": {{"type": "BPE", "vocab": {{{} "Ġ": 94, "he": 95, "hel": 96}},
                 "merges": [["h", "e"], "he l"]}}}})",
                     added, pre_tokenizer, vocabulary);
}

constexpr const char* kGpt2 = R"({"type": "ByteLevel", "add_prefix_space": false})";

TEST(ConvertTokenizer, RolesTemplateAndUnusedIdsAreKept) {
  const std::string json = tiny_json(kGpt2, R"({"id": 98, "content": "<s>", "special": true},
                {"id": 99, "content": "<|end|>", "special": false},
                {"id": 100, "content": "  ", "special": false})");
  const auto converted = convert(
      json, R"({"bos_token": "<s>", "eos_token": {"content": "<|end|>"}, "add_bos_token": true,
                "chat_template": "{{ messages }}"})",
      104);
  ASSERT_TRUE(converted) << converted.error().message;
  const auto file = GgufFile::parse(std::as_bytes(std::span(converted->gguf)));
  ASSERT_TRUE(file);
  EXPECT_EQ(file->get_uint("tokenizer.ggml.bos_token_id").value(), 98u);
  EXPECT_EQ(file->get_uint("tokenizer.ggml.eos_token_id").value(), 99u);
  EXPECT_TRUE(file->get_bool("tokenizer.ggml.add_bos_token").value());
  EXPECT_EQ(file->get_string("tokenizer.chat_template").value(), "{{ messages }}");
  const auto kinds =
      file->get_array("tokenizer.ggml.token_type")->numbers<int32_t>("types").value();
  EXPECT_EQ(std::vector<int32_t>(kinds.begin() + 96, kinds.end()),
            (std::vector<int32_t>{1, 5, 3, 3, 4, 5, 5, 5}));
  std::vector<std::string> tokens;
  for (const auto text : file->get_array("tokenizer.ggml.tokens")->strings())
    tokens.emplace_back(text);
  EXPECT_EQ(tokens[97], "[PAD97]");
  EXPECT_EQ(tokens[100], "  ");
  EXPECT_EQ(converted->hf.bos_text, "<s>");
  EXPECT_EQ(converted->hf.eos_text, "<|end|>");
  EXPECT_TRUE(converted->hf.add_bos);
}

TEST(ConvertTokenizer, WhatGgufCannotSayIsRefused) {
  const auto message_of = [](const std::string& json, int64_t vocab_size) {
    const auto converted = convert(json, "{}", vocab_size);
    return converted ? std::string() : converted.error().message;
  };
  EXPECT_EQ(message_of(tiny_json(kGpt2, ""), 97), "");
  EXPECT_NE(message_of(tiny_json(kGpt2, ""), 96).find("97 tokens"), std::string::npos);
  EXPECT_NE(message_of(tiny_json(R"({"type": "Metaspace"})", ""), 97).find("no byte-level BPE"),
            std::string::npos);
  const std::string unnamed =
      R"({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true},
          {"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}]})";
  EXPECT_NE(message_of(tiny_json(unnamed, ""), 97).find("has no name"), std::string::npos);
  const std::string prefixed = R"({"type": "ByteLevel", "add_prefix_space": true})";
  EXPECT_NE(message_of(tiny_json(prefixed, ""), 97).find("cut differently"), std::string::npos);
}

TEST(ConvertTokenizer, AFolderWithoutATokenizerHasNone) {
  const ScratchFolder folder;
  GgufMetadata metadata;
  const auto found = add_gguf_tokenizer({folder.path(), Json::object(), {}}, 10, metadata);
  ASSERT_TRUE(found);
  EXPECT_FALSE(*found);
  EXPECT_EQ(metadata.size(), 0u);
}

TEST(ConvertTokenizer, EveryStepHasAnExpressionThatIsReadAsIt) {
  std::string names = pretokenizer_names() + ", ";
  for (size_t at = 0; at < names.size();) {
    const size_t end = names.find(", ", at);
    const Pretokenizer* row = find_pretokenizer(std::string_view(names).substr(at, end - at));
    ASSERT_NE(row, nullptr);
    for (const SplitStep step : row->steps) {
      if (step == nullptr) break;
      EXPECT_EQ(find_split_step(split_regex(step)), step) << row->name;
    }
    at = end + 2;
  }
}

}  // namespace
}  // namespace minke
