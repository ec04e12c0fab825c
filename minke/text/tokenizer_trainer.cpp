#include "minke/text/tokenizer_trainer.h"

#include <algorithm>
#include <sstream>

#include "minke/base/check.h"
#include "minke/base/files.h"
#include "minke/base/nearest_name.h"
#include "minke/base/utf8.h"
#include "minke/text/bpe_trainer.h"
#include "minke/text/byte_alphabet.h"
#include "minke/text/chat_template.h"
#include "minke/text/tokenizer_writer.h"
#include "minke/text/word_counts.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> interrupted() {
  return fail(ErrorCode::kInterrupted, "stopped: no tokenizer was written");
}

Result<const Pretokenizer*> pretokenizer_of(const TokenizerTrainerConfig& config) {
  const std::string name = config.characters ? "characters" : config.pretokenizer;
  if (const Pretokenizer* row = find_pretokenizer(name)) return row;
  const std::string all = pretokenizer_names();
  std::vector<std::string> names;
  std::istringstream stream(all);
  for (std::string each; std::getline(stream >> std::ws, each, ',');) names.push_back(each);
  return fail(ErrorCode::kUsage, "no pre-tokenizer '{}'{}: minke has {}", name,
              did_you_mean(name, names), all);
}

// The text of a mapped file.
std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

tl::unexpected<Error> invalid_utf8(const fs::path& path, std::string_view text, uint64_t at) {
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<int64_t>(at), '\n');
  return fail(ErrorCode::kCorrupt,
              "{}:{}: {} at byte {} of the file is not UTF-8, expected a text file in UTF-8",
              path.string(), line, byte_name(text[at]), at);
}

// Counts all files, in one table for each thread.
class FileCounter {
 public:
  FileCounter(const TokenizerTrainerConfig& config, const Pretokenizer* pretokenizer,
              ThreadPool& threads)
      : config_(config),
        pretokenizer_(pretokenizer),
        threads_(threads),
        counts_(static_cast<size_t>(threads.num_threads())) {}

  Result<void> open(std::span<const fs::path> paths) {
    for (const fs::path& path : paths) {
      MK_ASSIGN(MappedFile file, MappedFile::open(path));
      if (file.bytes().empty()) {
        return fail(ErrorCode::kCorrupt, "{}:1: the file is empty, expected text", path.string());
      }
      bytes_ += file.bytes().size();
      files_.push_back(std::move(file));
    }
    return {};
  }

  Result<void> count(const TokenizerTrainerProgress& progress) {
    uint64_t before = 0;
    for (const MappedFile& file : files_) {
      uint64_t dropped = 0;
      bool stopped = false;
      WordCountOptions options{.pretokenizer = pretokenizer_, .lines = config_.lines};
      options.progress = [&](uint64_t done) {
        file.drop(dropped, done - dropped);
        dropped = done;
        stopped = progress.counting && !progress.counting(before + done, bytes_);
        return !stopped;
      };
      const std::string_view text = text_of(file);
      const WordCountOutcome outcome = count_words(text, options, threads_, counts_);
      if (outcome.invalid_at) return invalid_utf8(file.path(), text, *outcome.invalid_at);
      if (stopped) return interrupted();
      before += text.size();
    }
    for (size_t i = 1; i < counts_.size(); ++i) {
      for (const CountedWord& word : counts_[i].sorted()) counts_[0].add(word.bytes, word.count);
      counts_[i] = {};
    }
    return {};
  }

  uint64_t bytes() const { return bytes_; }
  const WordCounts& counts() const { return counts_[0]; }

 private:
  const TokenizerTrainerConfig& config_;
  const Pretokenizer* pretokenizer_;
  ThreadPool& threads_;
  std::vector<MappedFile> files_;
  uint64_t bytes_ = 0;
  std::vector<WordCounts> counts_;  // one for each thread
};

std::vector<std::string> all_special_tokens(const TokenizerTrainerConfig& config) {
  std::vector<std::string> all = config.special_tokens;
  for (const std::string& role : {config.bos, config.eos}) {
    if (!role.empty() && std::find(all.begin(), all.end(), role) == all.end()) all.push_back(role);
  }
  return all;
}

Result<BpeVocabulary> character_vocabulary(std::span<const CountedWord> characters,
                                           std::vector<std::string> special_tokens,
                                           int64_t vocab_size) {
  BpeVocabulary vocabulary;
  for (const CountedWord& character : characters) {
    vocabulary.tokens.push_back(in_byte_alphabet(character.bytes));
    vocabulary.num_tokens += static_cast<int64_t>(character.count);
  }
  vocabulary.num_letters = static_cast<int64_t>(characters.size());
  for (std::string& text : special_tokens) {
    const auto& tokens = vocabulary.tokens;
    if (!text.empty() && std::find(tokens.begin(), tokens.end(), text) == tokens.end()) {
      vocabulary.tokens.push_back(std::move(text));
      ++vocabulary.num_special;
      continue;
    }
    return fail(ErrorCode::kUsage,
                "the special token '{}' is empty, a character of the text, or given twice", text);
  }
  const auto size = static_cast<int64_t>(vocabulary.tokens.size());
  if (vocab_size == 0 || size <= vocab_size) return vocabulary;
  return fail(ErrorCode::kUsage,
              "a vocabulary of {} is too small: {} characters and {} special tokens need {}",
              vocab_size, vocabulary.num_letters, vocabulary.num_special, size);
}

Result<TokenizerTexts> texts_of(const BpeVocabulary& vocabulary,
                                const TokenizerTrainerConfig& config,
                                const Pretokenizer* pretokenizer) {
  ByteBpe out;
  out.pretokenizer = pretokenizer;
  const int64_t special_begin = config.characters ? vocabulary.num_letters : 0;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const auto id = static_cast<int64_t>(i);
    const std::string& text = vocabulary.tokens[i];
    out.vocab.emplace_back(text, id);
    if (id < special_begin || id >= special_begin + vocabulary.num_special) continue;
    out.added_tokens.push_back(added_token_json(text, id, true));
    if (text == config.bos) out.bos = static_cast<int32_t>(id);
  }
  out.bos_text = config.bos;
  for (const auto& [left, right] : vocabulary.merges) {
    out.merges.push_back(Json::array({vocabulary.tokens[static_cast<size_t>(left)],
                                      vocabulary.tokens[static_cast<size_t>(right)]}));
  }
  TokenizerTexts texts;
  texts.tokenizer_json = byte_bpe_json(std::move(out)).dump(2) + "\n";
  texts.tokenizer_config =
      tokenizer_config_json(config.bos, config.eos, !config.bos.empty()).dump(2) + "\n";
  texts.chat_template = config.chat_template;
  MK_ASSIGN(const Tokenizer readable, Tokenizer::from_json(texts));
  MK_CHECK(readable.vocab_size() == static_cast<int32_t>(vocabulary.tokens.size()),
           "train_tokenizer: {} tokens were read of {} written", readable.vocab_size(),
           vocabulary.tokens.size());
  return texts;
}

Result<BpeVocabulary> learn(std::span<const CountedWord> words,
                            const TokenizerTrainerConfig& config,
                            const TokenizerTrainerProgress& progress) {
  std::vector<std::string> special = all_special_tokens(config);
  if (config.characters) return character_vocabulary(words, std::move(special), config.vocab_size);
  std::function<bool(int64_t)> merging;
  if (progress.merging) {
    merging = [&](int64_t done) { return progress.merging(done, config.vocab_size); };
  }
  return train_bpe(words,
                   {.vocab_size = config.vocab_size,
                    .min_frequency = config.min_frequency,
                    .limit_alphabet = config.limit_alphabet,
                    .special_tokens = std::move(special)},
                   merging);
}

}  // namespace

Result<TrainedTokenizer> train_tokenizer(std::span<const fs::path> files,
                                         const TokenizerTrainerConfig& config, ThreadPool& threads,
                                         const TokenizerTrainerProgress& progress) {
  MK_ASSIGN(const Pretokenizer* pretokenizer, pretokenizer_of(config));
  if (!config.chat_template.empty()) {
    if (const auto parsed = ChatTemplate::parse(config.chat_template); !parsed) {
      return fail(ErrorCode::kUsage, "the chat template: {}", parsed.error().message);
    }
  }
  FileCounter counter(config, pretokenizer, threads);
  MK_TRY(counter.open(files));
  MK_TRY(counter.count(progress));
  const std::vector<CountedWord> words = counter.counts().sorted();
  MK_ASSIGN(const BpeVocabulary vocabulary, learn(words, config, progress));
  TrainedTokenizer out;
  MK_ASSIGN(out.texts, texts_of(vocabulary, config, pretokenizer));
  out.vocab_size = static_cast<int64_t>(vocabulary.tokens.size());
  out.num_special = vocabulary.num_special;
  out.num_letters = vocabulary.num_letters;
  out.num_merges = static_cast<int64_t>(vocabulary.merges.size());
  out.num_words = static_cast<int64_t>(words.size());
  out.text_bytes = counter.bytes();
  out.num_tokens = vocabulary.num_tokens;
  return out;
}

Result<void> write_tokenizer(const TokenizerTexts& texts, const fs::path& folder, bool overwrite) {
  std::error_code error;
  if (!overwrite && fs::exists(folder / "tokenizer.json", error)) {
    return fail(ErrorCode::kUsage, "{} has a tokenizer.json: take another folder, or --force",
                folder.string());
  }
  const auto write = [&](const char* name, const std::string& text) {
    return write_file_atomic(folder / name, text);
  };
  MK_TRY(write("tokenizer_config.json", texts.tokenizer_config));
  if (!texts.chat_template.empty()) MK_TRY(write("chat_template.jinja", texts.chat_template));
  // An older folder's would be read in place of none.
  if (texts.chat_template.empty()) fs::remove(folder / "chat_template.jinja", error);
  return write("tokenizer.json", texts.tokenizer_json);
}

}  // namespace minke
