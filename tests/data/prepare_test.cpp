// Goal: data sets are a function of their input, whatever the threads and blocks, and hold what
// they should. Method: files of drawn texts prepared in several ways and read back; bad ones.
#include "minke/data/prepare.h"

#include <gtest/gtest.h>

#include "minke/data/ngram_filter.h"
#include "minke/text/tokenizer.h"
#include "tests/data/data_tokenizer.h"
#include "tests/data/shards.h"

namespace minke {
namespace {

using test::data_tokenizer;
using test::Folder;

void write(const std::filesystem::path& path, const std::string& text) {
  ASSERT_TRUE(write_file_atomic(path, text));
}

std::vector<std::string> texts_of(const std::filesystem::path& folder, const Tokenizer& tokenizer,
                                  std::string_view split = "train") {
  std::vector<std::string> texts;
  const auto dataset = TokenDataset::open(folder, split);
  if (!dataset) return texts;
  for (int64_t i = 0; i < dataset->info().num_documents; ++i) {
    std::vector<int32_t> ids;
    EXPECT_TRUE(dataset->read(dataset->document(i), ids));
    texts.push_back(tokenizer.decode(ids));
  }
  return texts;
}

std::string many_lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format("{{\"text\":\"line {} of some\"}}\n", i);
  return text;
}

TEST(PrepareData, IsTheSameForAnyThreadsAndBlocks) {
  const Folder folder;
  const Tokenizer tokenizer = data_tokenizer();
  write(folder / "a.jsonl", many_lines(300));
  std::vector<std::string> files;
  for (const auto& [threads, block] : {std::pair{1, 1 << 20}, {3, 64}, {2, 1000}}) {
    PrepareInputs inputs;
    inputs.train = {folder / "a.jsonl"};
    inputs.num_threads = threads;
    inputs.block_bytes = static_cast<size_t>(block);
    PrepareConfig config;
    config.validation = 0.2;
    config.fim_rate = 0.5;
    const auto report = prepare_data(inputs, tokenizer, config, folder / "out");
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(report->records, 300);
    files.push_back(*read_file(folder / "out/train-00000.mkt") +
                    *read_file(folder / "out/validation-00000.mkt"));
    const auto num_kept_apart = texts_of(folder / "out", tokenizer, "validation").size();
    EXPECT_NEAR(static_cast<double>(num_kept_apart), 60.0, 35.0);
    EXPECT_EQ(texts_of(folder / "out", tokenizer).size() + num_kept_apart, 300u);
  }
  EXPECT_EQ(files[0], files[1]);
  EXPECT_EQ(files[0], files[2]);
}

TEST(PrepareData, KeepsATextOneDocumentAndItsEndForValidation) {
  const Folder folder;
  const Tokenizer tokenizer = data_tokenizer("");
  std::string text;
  for (int i = 0; i < 200; ++i) text += fmt::format("Line number {}\n\n  indented\n", i);
  write(folder / "a.txt", text);
  PrepareInputs inputs;
  inputs.train = {folder / "a.txt"};
  inputs.block_bytes = 100;
  PrepareConfig config;
  config.validation = 0.1;
  config.no_eos = true;
  ASSERT_TRUE(prepare_data(inputs, tokenizer, config, folder / "out"));
  const auto cut = static_cast<size_t>(static_cast<double>(text.size()) * 0.9);
  EXPECT_EQ(texts_of(folder / "out", tokenizer), std::vector<std::string>{text.substr(0, cut)});
  EXPECT_EQ(texts_of(folder / "out", tokenizer, "validation"),
            std::vector<std::string>{text.substr(cut)});
}

TEST(PrepareData, StopsAtBadLinesOrCountsThem) {
  const Folder folder;
  const Tokenizer tokenizer = data_tokenizer();
  write(folder / "a.jsonl", "{\"text\":\"one\"}\n\n{\"text\":\n{\"text\":\"two\"}\n");
  PrepareInputs inputs;
  inputs.train = {folder / "a.jsonl"};
  PrepareConfig config;
  const auto stopped = prepare_data(inputs, tokenizer, config, folder / "out");
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kCorrupt);
  EXPECT_NE(stopped.error().message.find("a.jsonl:3: "), std::string::npos)
      << stopped.error().message;
  EXPECT_FALSE(TokenDataset::open(folder / "out"));
  config.skip_bad = true;
  const auto report = prepare_data(inputs, tokenizer, config, folder / "out");
  ASSERT_TRUE(report);
  EXPECT_EQ(report->bad, 1);
  EXPECT_EQ(texts_of(folder / "out", tokenizer),
            (std::vector<std::string>{"one<|im_end|>", "two<|im_end|>"}));
}

TEST(PrepareData, LeavesOutDuplicatesAndTests) {
  const Folder folder;
  const Tokenizer tokenizer = data_tokenizer();
  const std::string question = "How many legs have seven spiders and one very old dog together";
  write(folder / "a.jsonl",
        "{\"text\":\"same  words\"}\n{\"text\":\"same words \"}\n"
        "{\"text\":\"A: HOW many legs have seven spiders, and one very old "
        "dog, together?\"}\n{\"text\":\"How many legs have spiders\"}\n");
  write(folder / "test.jsonl", "{\"question\":\"" + question + "\",\"answer\":\"60\"}\n");
  PrepareInputs inputs;
  inputs.train = {folder / "a.jsonl"};
  inputs.decontaminate = {folder / "test.jsonl"};
  PrepareConfig config;
  config.dedupe = true;
  const auto report = prepare_data(inputs, tokenizer, config, folder / "out");
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->duplicates, 1);
  EXPECT_EQ(report->contaminated, 1);
  EXPECT_EQ(
      texts_of(folder / "out", tokenizer),
      (std::vector<std::string>{"same  words<|im_end|>", "How many legs have spiders<|im_end|>"}));
}

TEST(PrepareData, RefusesWhatIsNoTextOrOfAnotherKind) {
  const Folder folder;
  const Tokenizer tokenizer = data_tokenizer();
  const std::pair<const char*, std::pair<std::string, const char*>> rows[] = {
      {"a.parquet", {"PAR1....", "Parquet"}},
      {"a.txt", {" \n", "empty"}},
      {"b.txt", {std::string("a\0b", 3), "zero bytes"}},
      {"c.txt", {"one\ntw\xe9 three", "c.txt:2: byte 0xe9 is no UTF-8"}},
      {"d.json", {" [{\"text\":\"a\"}]", "one JSON array"}},
      {"e.jsonl",
       {"{\"text\":\"a\"}\n{\"chosen\":\"a\",\"rejected\":\"b\"}\n",
        "e.jsonl:2: a pair, when what came before is a text"}},
      {"f.gz", {"\x1f\x8b..", "gzip"}},
  };
  for (const auto& [name, row] : rows) {
    write(folder / name, row.first);
    PrepareInputs inputs;
    inputs.train = {folder / name};
    const auto report = prepare_data(inputs, tokenizer, {}, folder / "out");
    ASSERT_FALSE(report) << name;
    EXPECT_EQ(report.error().code, ErrorCode::kCorrupt);
    EXPECT_NE(report.error().message.find(row.second), std::string::npos) << report.error().message;
  }
  PrepareConfig config;
  config.format = "sharegtp";
  EXPECT_EQ(prepare_data({}, tokenizer, config, folder / "out").error().code, ErrorCode::kUsage);
}

TEST(PreparedData, IsMadeOnceAndRefusesAnotherTokenizer) {
  const Folder folder;
  const Tokenizer tokenizer = data_tokenizer();
  write(folder / "a.jsonl", many_lines(5));
  const auto first = prepared_data(folder / "a.jsonl", tokenizer, {}, folder / "scratch", 1);
  ASSERT_TRUE(first) << first.error().message;
  const auto again = prepared_data(*first, tokenizer, {}, folder / "other", 1);
  ASSERT_TRUE(again);
  EXPECT_EQ(*again, folder / "scratch");
  TinyVocabulary other;
  EXPECT_EQ(prepared_data(*first, *tokenizer_of(other), {}, folder / "x", 1).error().code,
            ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace minke
