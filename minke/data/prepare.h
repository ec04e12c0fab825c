#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/data/dataset.h"

namespace minke {

class Tokenizer;

/// How texts and examples become token shards.
struct PrepareConfig {
  std::string format = "auto";
  std::string text_key = "text";
  std::string prompt_key = "prompt";
  std::string completion_key = "completion";
  std::string chat = "auto";
  std::string separator = "\n";
  bool no_eos = false;
  double fim_rate = 0.0;
  double validation = 0.0;
  bool dedupe = false;
  bool skip_bad = false;
  int64_t shard_tokens = int64_t{1} << 28;
  uint64_t data_seed = 0;

  template <class Visitor>
  void visit(Visitor& visitor) {
    visitor("format", format,
            "of JSON lines: auto (by their keys), text, messages, prompt, alpaca, sharegpt, pairs");
    visitor("text_key", text_key, "the key of a text in JSON lines");
    visitor("prompt_key", prompt_key, "the key of a prompt in JSON lines, e.g. question");
    visitor("completion_key", completion_key, "the key of its completion, e.g. answer");
    visitor("chat", chat,
            "prompts and answers in plain words become messages by the chat template: always, "
            "never, auto (where the tokenizer has one)");
    visitor("separator", separator, "between a prompt and its answer where they are no messages");
    visitor("no_eos", no_eos, "no end-of-text token after texts and answers");
    visitor("fim_rate", fim_rate, 0.0, 1.0,
            "share of texts that are rearranged so that their middle is filled in (V3: 0.1)");
    visitor("validation", validation, 0.0, 0.9,
            "share that is kept apart for validation: the end of a single text, else examples "
            "drawn by the seed");
    visitor("dedupe", dedupe, "leave out what came before in the same words");
    visitor("skip_bad", skip_bad, "leave out and count what cannot be read, instead of stopping");
    visitor("shard_tokens", shard_tokens, 1024.0, 1e12, "most tokens of a shard, about");
    visitor("data_seed", data_seed, "of what is drawn: validation, fill-in-middle");
  }
};

/// Where it comes from.
struct PrepareInputs {
  std::vector<std::filesystem::path> train;          ///< files and folders
  std::vector<std::filesystem::path> validation;     ///< files of a split of their own
  std::vector<std::filesystem::path> decontaminate;  ///< tests that must not be trained on
  std::string tokenizer_source;                      ///< its name, for dataset.json
  int num_threads = 1;
  size_t block_bytes = size_t{1} << 20;  ///< worked on at once by a thread
};

/// What became of it.
struct PrepareReport {
  int64_t records = 0;  ///< that were read: texts, examples, pairs
  int64_t bad = 0;
  int64_t duplicates = 0;
  int64_t contaminated = 0;
  int64_t lost_bytes = 0;          ///< of UTF-8 without a token
  std::vector<std::string> notes;  ///< the first of what was left out, with file and line
  Json splits = Json::object();    ///< by name: shards, documents, tokens, targets, text_bytes
  Json to_json() const;
};

/// Writes `folder`: shards and dataset.json, last. The same input gives the same bytes, whatever
/// the threads. kUsage for settings that exclude each other or a folder that holds other data;
/// kCorrupt, with file and line, for input that cannot be read (counted with skip_bad) or when
/// nothing is left; errors of writing.
Result<PrepareReport> prepare_data(const PrepareInputs& inputs, const Tokenizer& tokenizer,
                                   const PrepareConfig& config,
                                   const std::filesystem::path& folder);

/// For training commands: `data` itself when it is prepared already, else what prepare_data()
/// makes of it in `scratch`, which a resumed run finds there. kCorrupt when it was made with
/// another tokenizer.
Result<std::filesystem::path> prepared_data(const std::filesystem::path& data,
                                            const Tokenizer& tokenizer, const PrepareConfig& config,
                                            const std::filesystem::path& scratch, int num_threads,
                                            PrepareReport* report = nullptr);

/// kCorrupt when the data was made with another tokenizer.
Result<void> check_tokenizer(const TokenDataset& dataset, const Tokenizer& tokenizer);

}  // namespace minke
