#include <algorithm>
#include <chrono>
#include <filesystem>

#include "minke/base/thread_pool.h"
#include "minke/cli/command.h"
#include "minke/cli/tokenizer_source.h"
#include "minke/data/dataset.h"
#include "minke/data/prepare.h"
#include "minke/text/tokenizer.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

std::string_view kind_text(ShardKind kind) {
  if (kind == ShardKind::kText) return "text";
  return kind == ShardKind::kPairs ? "pairs" : "examples";
}

/// A run of tokens of one document that are all learned or all not.
struct Segment {
  std::string text;
  bool learned = false;
};

Result<std::vector<Segment>> segments_of(const TokenDataset& dataset, const Tokenizer& tokenizer,
                                         TokenRange range) {
  std::vector<int32_t> ids;
  MK_TRY(dataset.read(range, ids));
  std::vector<Segment> segments;
  for (int64_t token = range.begin; token < range.end; ++token) {
    const bool learned = dataset.has_loss(token);
    if (segments.empty() || segments.back().learned != learned) {
      segments.push_back({.text = {}, .learned = learned});
    }
    segments.back().text += tokenizer.token_bytes(ids[static_cast<size_t>(token - range.begin)]);
  }
  return segments;
}

class DataCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional_choice("ACTION", action_, {"prepare", "show", "verify"},
                            "turn files into token shards; tell what shards hold; read all of them "
                            "and check their hashes");
    flags.rest("PATH", paths_,
               "prepare: files of text or JSON lines, or folders with such; show, verify: the "
               "folder that prepare made, or a shard");
    flags.add("output,o", output_, "prepare: the folder to write");
    flags.add("tokenizer,t", tokenizer_,
              "a name from minke list, a .gguf file, a tokenizer.json or its folder");
    flags.add("show", num_shown_, {0, 1e6},
              "print this many examples, with the part that is not learned in grey");
    flags.add("show-tokens", tokens_shown_, {1, 1e9}, "print at most this many tokens of each");
    flags.add("split", split_, "show: of this split");
    flags.add("from", first_, {0, 1e15}, "show: begin with this example");
    flags.add("validation-file", validation_files_, "prepare: a file for the validation split");
    flags.add("decontaminate", tests_,
              "prepare: a file of test questions; what shares 10 words in a row is left out");
    flags.add("overwrite", overwrite_, "prepare: replace the data in the folder");
    flags.add("threads", num_threads_, {0, 1024}, "0: one for each CPU");
    flags.add("json", json_, "one JSON document");
    flags.add_visited(config_);
    flags.example("minke data prepare book.txt -t smollm2-135m -o data --validation 0.1");
    flags.example(
        "minke data prepare train.jsonl -t smollm2-135m -o data --prompt-key question "
        "--completion-key answer --show 3");
    flags.example("minke data show data --show 5 --split validation");
    flags.example("minke data verify data");
  }

  Result<void> run(const Console& console) override {
    if (paths_.empty()) {
      return fail(ErrorCode::kUsage, "{} takes {}, found none", action_,
                  action_ == "prepare" ? "files or folders" : "a folder that prepare made");
    }
    if (action_ == "prepare") return prepare(console);
    if (paths_.size() > 1) {
      return fail(ErrorCode::kUsage, "{} takes one path, found {}", action_, paths_.size());
    }
    return action_ == "show" ? show(console) : verify(console);
  }

 private:
  Result<void> prepare(const Console& console) const {
    if (output_.empty()) return fail(ErrorCode::kUsage, "prepare needs --output FOLDER");
    if (tokenizer_.empty()) return fail(ErrorCode::kUsage, "prepare needs --tokenizer MODEL");
    std::error_code error;
    if (!overwrite_ && fs::exists(fs::path(output_) / kDatasetFile, error)) {
      return fail(ErrorCode::kUsage, "{} holds data already: take another folder or --overwrite",
                  output_);
    }
    MK_ASSIGN(const Tokenizer tokenizer, find_tokenizer(tokenizer_));
    PrepareInputs inputs;
    inputs.train.assign(paths_.begin(), paths_.end());
    inputs.validation.assign(validation_files_.begin(), validation_files_.end());
    inputs.decontaminate.assign(tests_.begin(), tests_.end());
    inputs.tokenizer_source = tokenizer_;
    inputs.num_threads = num_threads_ > 0 ? num_threads_ : available_cpus();
    const auto begin = std::chrono::steady_clock::now();
    MK_ASSIGN(const PrepareReport report, prepare_data(inputs, tokenizer, config_, output_));
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    if (!json_) {
      print_report(console, report, seconds);
      return num_shown_ > 0 ? show_split(console, output_, tokenizer) : Result<void>();
    }
    Json document = report.to_json();
    document.set("folder", output_);
    document.set("seconds", seconds);
    if (num_shown_ > 0) {
      MK_ASSIGN(const TokenDataset dataset, TokenDataset::open(output_, split_));
      MK_ASSIGN(Json examples, examples_json(dataset, tokenizer));
      document.set("examples", std::move(examples));
    }
    console.print_json(document);
    return {};
  }

  void print_report(const Console& console, const PrepareReport& report, double seconds) const {
    for (const std::string& note : report.notes) console.note("left out: {}", note);
    console.print("{} records in {:.1f} s", report.records, seconds);
    const auto count = [&](int64_t number, std::string_view what) {
      if (number > 0) console.print(", {} {}", number, what);
    };
    count(report.bad, "bad");
    count(report.duplicates, "duplicates");
    count(report.contaminated, "contaminated");
    count(report.lost_bytes, "bytes without a token");
    console.print("\n");
    for (const auto& [name, split] : report.splits.as_object()) {
      console.print("{:<12} {} documents, {} tokens, {} with loss, {} shards\n", name,
                    split.find("documents")->as_int(), split.find("tokens")->as_int(),
                    split.find("targets")->as_int(), split.find("shards")->as_array().size());
    }
  }

  // Without --tokenizer the one that the data was made with.
  Result<std::string> tokenizer_name() const {
    if (!tokenizer_.empty()) return tokenizer_;
    const Result<Json> file = read_dataset_file(paths_[0]);
    const Json* const tokenizer = file ? file->find("tokenizer") : nullptr;
    const Json* const source = tokenizer != nullptr ? tokenizer->find("source") : nullptr;
    if (source == nullptr || !source->is_string() || source->as_string().empty()) {
      return fail(ErrorCode::kUsage, "{} does not tell its tokenizer: give --tokenizer", paths_[0]);
    }
    return source->as_string();
  }

  Result<void> show(const Console& console) {
    MK_ASSIGN(const std::string name, tokenizer_name());
    MK_ASSIGN(const Tokenizer tokenizer, find_tokenizer(name));
    if (num_shown_ == 0) num_shown_ = 3;
    return show_split(console, paths_[0], tokenizer);
  }

  Result<void> show_split(const Console& console, const fs::path& path,
                          const Tokenizer& tokenizer) const {
    MK_ASSIGN(const TokenDataset dataset, TokenDataset::open(path, split_));
    MK_TRY(check_tokenizer(dataset, tokenizer));
    const ShardInfo& info = dataset.info();
    if (json_) {
      MK_ASSIGN(Json examples, examples_json(dataset, tokenizer));
      console.print_json(Json::object({{"kind", kind_text(info.kind)},
                                       {"split", split_},
                                       {"documents", info.num_documents},
                                       {"tokens", info.num_tokens},
                                       {"targets", info.num_targets},
                                       {"text_bytes", info.text_bytes},
                                       {"vocab_size", int64_t{info.vocab_size}},
                                       {"examples", std::move(examples)}}));
      return {};
    }
    console.print("{}: {}, {} documents, {} tokens, {} with loss, {} shards\n", split_,
                  kind_text(info.kind), info.num_documents, info.num_tokens, info.num_targets,
                  dataset.shards().size());
    const bool grey = console.color && is_terminal(console.out);
    if (!grey && info.kind != ShardKind::kText) {
      console.note("what is not learned stands in [[ ]]");
    }
    for (int64_t i = first_; i < end_shown(info); ++i) {
      const TokenRange all = dataset.document(i);
      const TokenRange range = {all.begin, std::min(all.end, all.begin + tokens_shown_)};
      MK_ASSIGN(const std::vector<Segment> segments, segments_of(dataset, tokenizer, range));
      console.print("\n--- {}{}, {} tokens\n", i, title_of(info.kind, i), all.size());
      for (const Segment& segment : segments) {
        if (segment.learned) {
          console.print("{}", segment.text);
        } else {
          console.print("{}", grey ? console.painted(segment.text, "2")
                                   : fmt::format("[[{}]]", segment.text));
        }
      }
      console.print("{}\n", range.size() < all.size() ? " ..." : "");
    }
    return {};
  }

  static std::string_view title_of(ShardKind kind, int64_t index) {
    if (kind != ShardKind::kPairs) return "";
    return index % 2 == 0 ? " (chosen)" : " (rejected)";
  }

  int64_t end_shown(const ShardInfo& info) const {
    return std::min(first_ + num_shown_, info.num_documents);
  }

  Result<Json> examples_json(const TokenDataset& dataset, const Tokenizer& tokenizer) const {
    Json examples = Json::array();
    for (int64_t i = first_; i < end_shown(dataset.info()); ++i) {
      const TokenRange range = dataset.document(i);
      MK_ASSIGN(const std::vector<Segment> segments, segments_of(dataset, tokenizer, range));
      std::vector<int32_t> ids;
      MK_TRY(dataset.read(range, ids));
      Json parts = Json::array();
      for (const Segment& segment : segments) {
        parts.push(Json::object({{"text", segment.text}, {"learned", segment.learned}}));
      }
      Json loss = Json::array();
      for (int64_t token = range.begin; token < range.end; ++token) {
        loss.push(int{dataset.has_loss(token)});
      }
      examples.push(Json::object({{"index", i},
                                  {"ids", Json::Array(ids.begin(), ids.end())},
                                  {"loss", std::move(loss)},
                                  {"segments", std::move(parts)}}));
    }
    return examples;
  }

  Result<void> verify(const Console& console) const {
    std::vector<std::string> splits = {"train"};
    if (const Result<Json> file = read_dataset_file(paths_[0])) {
      splits.clear();
      const Json* const known = file->find("splits");
      if (known != nullptr && known->is_object()) {
        for (const auto& [name, split] : known->as_object()) splits.push_back(name);
      }
    }
    int64_t num_shards = 0, num_tokens = 0;
    for (const std::string& split : splits) {
      MK_ASSIGN(const TokenDataset dataset, TokenDataset::open(paths_[0], split));
      for (const TokenShard& shard : dataset.shards()) {
        MK_TRY(shard.verify());
        ++num_shards;
        num_tokens += shard.info().num_tokens;
      }
    }
    if (json_) {
      console.print_json(
          Json::object({{"ok", true}, {"shards", num_shards}, {"tokens", num_tokens}}));
    } else {
      console.print("{} shards with {} tokens are as they were written\n", num_shards, num_tokens);
    }
    return {};
  }

  std::string action_;
  std::vector<std::string> paths_;
  std::string output_;
  std::string tokenizer_;
  std::string split_ = "train";
  int64_t num_shown_ = 0;
  int64_t tokens_shown_ = 1000;
  int64_t first_ = 0;
  std::vector<std::string> validation_files_;
  std::vector<std::string> tests_;
  int num_threads_ = 0;
  bool overwrite_ = false;
  bool json_ = false;
  PrepareConfig config_;
};

}  // namespace

std::unique_ptr<Command> make_data_command() { return std::make_unique<DataCommand>(); }

}  // namespace minke
