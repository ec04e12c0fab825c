// Goal: the files that make one model are found in any repository, or what there is is told.
// Method: listings as published repositories have them, and listings that lie.
#include "minke/hub/file_choice.h"

#include <gtest/gtest.h>

namespace minke {
namespace {

std::vector<RemoteFile> files_of(std::initializer_list<const char*> paths) {
  std::vector<RemoteFile> files;
  for (const char* path : paths) files.push_back({path, 1000 + files.size(), "", ""});
  return files;
}

TEST(FileChoice, TheQuantisationIsReadFromTheName) {
  const std::pair<const char*, const char*> cases[] = {
      {"SmolLM2-135M-Instruct-Q4_K_M.gguf", "Q4_K_M"},
      {"a/qwen2.5-0.5b-instruct-q4_0.gguf", "Q4_0"},
      {"Llama-3.Q8_0.gguf", "Q8_0"},
      {"x-UD-IQ2_XXS-00001-of-00003.gguf", "IQ2_XXS"},
      {"x-bf16.gguf", "BF16"},
      {"Q8-tuned-model-F16.gguf", "F16"},
      {"x-TQ1_0.gguf", "TQ1_0"},
      {"quick-model.gguf", ""},
      {"Qwen3-8B.gguf", ""},
  };
  for (const auto& [name, tag] : cases) EXPECT_EQ(quantization_of(name), tag) << name;
}

TEST(FileChoice, TheDefaultIsTheFirstOfTheDocumentedOrder) {
  const auto all = files_of({"m-F16.gguf", "m-Q8_0.gguf", "m-Q4_0.gguf", "m-Q4_K_M.gguf",
                             "m-IQ1_S.gguf", "mmproj-m-Q4_K_M.gguf", "README.md"});
  EXPECT_EQ(choose_files(all, "", "m")->main, "m-Q4_K_M.gguf");
  EXPECT_EQ(choose_files(files_of({"m-F16.gguf", "m-Q8_0.gguf"}), "", "m")->main, "m-Q8_0.gguf");
  EXPECT_EQ(choose_files(files_of({"odd.gguf", "config.json"}), "", "m")->main, "odd.gguf");
}

TEST(FileChoice, ANamedQuantisationIsFoundInAnyCaseAndPlainBeforeSpecial) {
  const auto all = files_of({"m-Q4_K_XL.gguf", "m-UD-Q4_K_XL.gguf", "m-BF16.gguf", "m-F16.gguf"});
  EXPECT_EQ(choose_files(all, "q4_k_xl", "m")->main, "m-Q4_K_XL.gguf");
  EXPECT_EQ(choose_files(all, "ud-q4_k_xl", "m")->main, "m-UD-Q4_K_XL.gguf");
  EXPECT_EQ(choose_files(all, "f16", "m")->main, "m-F16.gguf");
  const auto missing = choose_files(all, "Q2_K", "m");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find("BF16"), std::string::npos);
}

TEST(FileChoice, WhatFitsSeveralFilesIsAQuestion) {
  const auto two = files_of({"a-Q4_K_M.gguf", "b-Q4_K_M.gguf"});
  for (const char* which : {"", "Q4_K_M"}) {
    const auto choice = choose_files(two, which, "m");
    ASSERT_FALSE(choice);
    EXPECT_EQ(choice.error().code, ErrorCode::kUsage);
    EXPECT_NE(choice.error().message.find("b-Q4_K_M.gguf"), std::string::npos);
  }
  EXPECT_EQ(choose_files(two, "b-Q4_K_M.gguf", "m")->name, "b-Q4_K_M");
}

TEST(FileChoice, PartsComeTogetherInTheirOrder) {
  const auto parts = files_of({"d/m-Q8_0-00002-of-00002.gguf", "d/m-Q8_0-00001-of-00002.gguf",
                               "m-Q8_0-00001-of-00003.gguf"});
  const auto chosen = choose_files(parts, "d/m-Q8_0-00002-of-00002.gguf", "m");
  ASSERT_TRUE(chosen) << chosen.error().message;
  ASSERT_EQ(chosen->files.size(), 2u);
  EXPECT_EQ(chosen->main, "d/m-Q8_0-00001-of-00002.gguf");
  EXPECT_EQ(chosen->name, "m-Q8_0");
  EXPECT_FALSE(choose_files(parts, "m-Q8_0-00001-of-00003.gguf", "m")) << "parts are missing";
}

TEST(FileChoice, AFolderModelHasNoPickleAndNoDuplicates) {
  const auto both = files_of({"config.json", "tokenizer.json", "model.safetensors", "x.safetensors",
                              "consolidated.safetensors", "pytorch_model.bin", "sub/config.json"});
  const auto chosen = choose_files(both, "", "whale");
  ASSERT_TRUE(chosen) << chosen.error().message;
  EXPECT_EQ(chosen->main, ".");
  EXPECT_EQ(chosen->name, "whale");
  ASSERT_EQ(chosen->files.size(), 3u);
  EXPECT_EQ(chosen->files[2].path, "model.safetensors");
  EXPECT_FALSE(choose_files(files_of({"config.json", "pytorch_model.bin"}), "", "m"));
  EXPECT_FALSE(choose_files(files_of({"model.safetensors"}), "", "m"));
  EXPECT_FALSE(choose_files(files_of({"config.json", "model.safetensors"}), "Q4_0", "m"));
  EXPECT_FALSE(choose_files({}, "", "m"));
}

}  // namespace
}  // namespace minke
