// Goal: a tokenizer learned from files is the same for every number of threads, loses no byte, and
// bad files are named by line. Method: small files in a temporary folder, read back by
// open_tokenizer(); texts of all planes and random bytes.
#include "minke/text/tokenizer_trainer.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <numeric>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/base/random.h"
#include "minke/text/tokenizer_file.h"
#include "tests/golden/golden_path.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

class TokenizerTrainer : public testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        fs::temp_directory_path() / ("minke_tokenizer_trainer_" + std::to_string(::getpid()) + "_" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, std::string_view text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  static Result<TrainedTokenizer> train(const fs::path& file, const TokenizerTrainerConfig& config,
                                        int num_threads = 1) {
    ThreadPool threads(num_threads);
    return train_tokenizer({&file, 1}, config, threads);
  }
  static std::string message(const Result<TrainedTokenizer>& trained, ErrorCode code) {
    EXPECT_FALSE(trained);
    if (trained) return "";
    EXPECT_EQ(trained.error().code, code);
    return trained.error().message;
  }
  // What the folder's own files say, after writing them.
  Tokenizer written(const TrainedTokenizer& trained) const {
    EXPECT_TRUE(write_tokenizer(trained.texts, folder_ / "out", false));
    auto tokenizer = open_tokenizer(folder_ / "out");
    EXPECT_TRUE(tokenizer) << tokenizer.error().message;
    return std::move(*tokenizer);
  }

  fs::path folder_;
};

// Characters of all planes, one text in each line of JSON.
std::vector<std::string> hostile_texts() {
  std::vector<std::string> texts;
  std::ifstream file(golden_path("tokenizer_hf/texts.jsonl"));
  std::string line;
  std::getline(file, line);  // The versions.
  while (std::getline(file, line)) texts.push_back(parse_json(line)->as_string());
  EXPECT_GT(texts.size(), 300u);
  return texts;
}

std::string joined(const std::vector<std::string>& texts) {
  return std::accumulate(texts.begin(), texts.end(), std::string());
}

TEST_F(TokenizerTrainer, LosesNoByteOfAnyText) {
  const std::vector<std::string> texts = hostile_texts();
  const fs::path file = write("text.txt", joined(texts));
  for (const char* pre : {"gpt-2", "llama-bpe", "deepseek-v3", "deepseek-coder"}) {
    TokenizerTrainerConfig config;
    config.vocab_size = 500;
    config.eos = "<|endoftext|>";
    config.pretokenizer = pre;
    const auto trained = train(file, config);
    ASSERT_TRUE(trained) << trained.error().message;
    EXPECT_EQ(trained->vocab_size, 500);
    EXPECT_EQ(trained->num_merges, 500 - 257);
    fs::remove_all(folder_ / "out");
    const Tokenizer tokenizer = written(*trained);
    EXPECT_EQ(tokenizer.vocab_size(), 500);
    EXPECT_EQ(tokenizer.eos(), 0);
    EXPECT_FALSE(tokenizer.add_bos());
    // A Llama 3 piece that is a token is taken as such, whatever merges lead to.
    if (std::string_view(pre) != "llama-bpe") {
      EXPECT_EQ(static_cast<int64_t>(tokenizer.encode(joined(texts)).size()), trained->num_tokens);
    }
    for (const std::string& text : texts) {
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
    }
    Random random(5);
    for (int round = 0; round < 300; ++round) {
      std::string bytes(random.below(60), '\0');
      for (char& byte : bytes) byte = static_cast<char>(random.next());
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(bytes)), bytes);
    }
  }
}

TEST_F(TokenizerTrainer, IsTheSameForEveryNumberOfThreads) {
  const std::string once = joined(hostile_texts());
  std::string text;
  while (text.size() < (size_t{5} << 19)) text += once + "\nword word\n";
  const fs::path file = write("text.txt", text);
  TokenizerTrainerConfig config;
  config.vocab_size = 600;
  const auto one = train(file, config, 1);
  ASSERT_TRUE(one) << one.error().message;
  for (const int num_threads : {2, 5}) {
    const auto more = train(file, config, num_threads);
    ASSERT_TRUE(more) << more.error().message;
    EXPECT_EQ(more->texts.tokenizer_json, one->texts.tokenizer_json);
    EXPECT_EQ(more->num_tokens, one->num_tokens);
  }
}

TEST_F(TokenizerTrainer, CharactersAreTokensInTheirOrder) {
  const std::string text = "to be, or\nnot é 中 to be 👍\n";
  const fs::path file = write("text.txt", text);
  TokenizerTrainerConfig config;
  config.characters = true;
  config.eos = "<end>";
  const auto trained = train(file, config);
  ASSERT_TRUE(trained) << trained.error().message;
  EXPECT_EQ(trained->num_letters, 12);
  EXPECT_EQ(trained->vocab_size, 13);
  const Tokenizer tokenizer = written(*trained);
  EXPECT_EQ(tokenizer.eos(), 12);
  EXPECT_EQ(tokenizer.pretokenizer_name(), "characters");
  EXPECT_EQ(tokenizer.encode("\n ,be"), (std::vector<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(tokenizer.encode("é中👍"), (std::vector<int32_t>{9, 10, 11}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  EXPECT_EQ(static_cast<int64_t>(tokenizer.encode(text).size()), trained->num_tokens);
  EXPECT_EQ(tokenizer.encode("xÿb文"), (std::vector<int32_t>{3})) << "others are left out";
}

TEST_F(TokenizerTrainer, ATemplateAndBosComeAlong) {
  const fs::path file = write("text.txt", "one two three one two three");
  TokenizerTrainerConfig config;
  config.vocab_size = 262;
  config.special_tokens = {"<|im_start|>", "<|im_end|>"};
  config.bos = "<s>";
  config.eos = "<|im_end|>";
  config.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}";
  const auto trained = train(file, config);
  ASSERT_TRUE(trained) << trained.error().message;
  EXPECT_EQ(trained->num_special, 3);
  const Tokenizer tokenizer = written(*trained);
  EXPECT_EQ(tokenizer.bos(), 2);
  EXPECT_EQ(tokenizer.eos(), 1);
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_EQ(tokenizer.chat_template(), config.chat_template);
  EXPECT_EQ(tokenizer.encode("<|im_start|>", {.parse_special = true}), std::vector<int32_t>{0});
  const auto again = write_tokenizer(trained->texts, folder_ / "out", false);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kUsage);
  EXPECT_TRUE(write_tokenizer(trained->texts, folder_ / "out", true));
  config.chat_template = "{% for %}";
  EXPECT_NE(message(train(file, config), ErrorCode::kUsage).find("chat template"),
            std::string::npos);
}

TEST_F(TokenizerTrainer, BadFilesAreNamedByLine) {
  TokenizerTrainerConfig config;
  config.vocab_size = 300;
  const auto error = [&](const fs::path& file, ErrorCode code) {
    const std::string text = message(train(file, config), code);
    EXPECT_EQ(text.find(file.string()), text.find(file.parent_path().string())) << text;
    return text.substr(std::min(text.size(), file.string().size()));
  };
  EXPECT_EQ(error(write("empty.txt", ""), ErrorCode::kCorrupt),
            ":1: the file is empty, expected text");
  EXPECT_EQ(error(write("latin1.txt", "one\ntwo caf\xe9\n"), ErrorCode::kCorrupt),
            ":2: byte 0xe9 at byte 11 of the file is not UTF-8, expected a text file in UTF-8");
  message(train(folder_ / "none.txt", config), ErrorCode::kNotFound);
  message(train(folder_, config), ErrorCode::kFailed);
  config.pretokenizer = "gpt2";
  EXPECT_EQ(message(train(write("a.txt", "a"), config), ErrorCode::kUsage).substr(0, 50),
            "no pre-tokenizer 'gpt2', did you mean gpt-2?: mink");
  config.pretokenizer = "gpt-2";
  config.characters = true;
  config.vocab_size = 2;
  EXPECT_EQ(message(train(write("abc.txt", "abc"), config), ErrorCode::kUsage),
            "a vocabulary of 2 is too small: 3 characters and 0 special tokens need 3");
}

TEST_F(TokenizerTrainer, StopsWhenToldTo) {
  const fs::path file = write("text.txt", "one two three");
  TokenizerTrainerConfig config;
  config.vocab_size = 258;
  ThreadPool threads(1);
  const auto stopped = train_tokenizer({&file, 1}, config, threads,
                                       {.counting = [](uint64_t, uint64_t) { return false; }});
  EXPECT_EQ(message(stopped, ErrorCode::kInterrupted), "stopped: no tokenizer was written");
}

}  // namespace
}  // namespace minke
