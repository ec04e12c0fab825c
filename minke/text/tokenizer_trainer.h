#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "minke/base/result.h"
#include "minke/base/thread_pool.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// What a tokenizer is to be.
struct TokenizerTrainerConfig {
  /// Special tokens and alphabet included. With `characters` a limit, 0 for none.
  int64_t vocab_size = 0;
  int64_t min_frequency = 1;   ///< see BpeTrainerConfig
  int64_t limit_alphabet = 0;  ///< see BpeTrainerConfig
  /// Ids from 0 on; bos and eos follow where they are not among them.
  std::vector<std::string> special_tokens{};
  std::string bos{};  ///< before each text; empty: none
  std::string eos{};  ///< empty: none
  std::string pretokenizer = "gpt-2";
  /// Each line of a file is a text of its own, see WordCountOptions.
  bool lines = false;
  /// In place of BPE one token a character: those of the text, ascending by code point (the ids of
  /// nanoGPT's character data sets), then the special tokens. Other characters are left out.
  bool characters = false;
  std::string chat_template{};
};

/// What came of it; `texts` are the files to write.
struct TrainedTokenizer {
  TokenizerTexts texts;
  int64_t vocab_size = 0;
  int64_t num_special = 0;
  int64_t num_letters = 0;  ///< bytes, or characters, that the vocabulary begins with
  int64_t num_merges = 0;
  int64_t num_words = 0;  ///< different ones
  uint64_t text_bytes = 0;
  int64_t num_tokens = 0;  ///< of the text
};

/// Called now and then while it works; false stops it with kInterrupted. May be empty.
struct TokenizerTrainerProgress {
  std::function<bool(uint64_t done, uint64_t total)> counting{};  ///< bytes
  std::function<bool(int64_t done, int64_t total)> merging{};     ///< tokens
};

/// Learns a byte-level tokenizer from files of text. They are read through a mapping, a few
/// megabytes for each thread at a time, so that only their different words are held; what comes out
/// is the same for every number of threads. minke and Hugging Face's tokenizers give the same ids.
///
/// kUsage: no such pre-tokenizer, a chat template that cannot be parsed, or an error of
/// train_bpe(); kCorrupt, naming file and line: an empty file or one that is not UTF-8; kNotFound
/// and kFailed: a file that cannot be read.
Result<TrainedTokenizer> train_tokenizer(std::span<const std::filesystem::path> files,
                                         const TokenizerTrainerConfig& config, ThreadPool& threads,
                                         const TokenizerTrainerProgress& progress = {});

/// Writes tokenizer_config.json, chat_template.jinja where there is one and, last, tokenizer.json;
/// each is there whole or not at all. kUsage when the folder has a tokenizer.json and `overwrite`
/// is false.
Result<void> write_tokenizer(const TokenizerTexts& texts, const std::filesystem::path& folder,
                             bool overwrite);

}  // namespace minke
