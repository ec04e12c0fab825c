#include "minke/data/prepare.h"

#include <algorithm>
#include <optional>
#include <unordered_set>

#include "minke/base/check.h"
#include "minke/base/random.h"
#include "minke/base/thread_pool.h"
#include "minke/data/block_encoder.h"
#include "minke/data/text_hash.h"
#include "minke/text/tokenizer.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTrain = "train";
constexpr std::string_view kValidation = "validation";

/// The shards of one split, one after the other.
class SplitWriter {
 public:
  SplitWriter(fs::path folder, std::string_view name, int64_t shard_tokens)
      : folder_(std::move(folder)), name_(name), shard_tokens_(shard_tokens) {}

  Result<void> add(const EncodedRecord& record, const ShardInfo& info) {
    if (writer_ && writer_->info().num_tokens >= shard_tokens_) MK_TRY(finish_shard());
    if (!writer_) {
      const std::string file = fmt::format("{}-{:05}.mkt", name_, shards_.as_array().size());
      MK_ASSIGN(ShardWriter writer, ShardWriter::create(folder_ / file, info));
      writer_.emplace(std::move(writer));
      shards_.push(file);
    }
    for (const TokenDocument& document : record.documents) MK_TRY(writer_->add(document));
    return {};
  }

  /// What dataset.json says of the split; null when nothing was added.
  Result<Json> finish() {
    MK_TRY(finish_shard());
    if (shards_.as_array().empty()) return Json();
    return Json::object({{"shards", shards_},
                         {"documents", total_.num_documents},
                         {"tokens", total_.num_tokens},
                         {"targets", total_.num_targets},
                         {"text_bytes", total_.text_bytes}});
  }

 private:
  Result<void> finish_shard() {
    if (!writer_) return {};
    MK_TRY(writer_->finish());
    const ShardInfo& info = writer_->info();
    total_.num_documents += info.num_documents;
    total_.num_tokens += info.num_tokens;
    total_.num_targets += info.num_targets;
    total_.text_bytes += info.text_bytes;
    writer_.reset();
    return {};
  }

  fs::path folder_;
  std::string_view name_;
  int64_t shard_tokens_;
  std::optional<ShardWriter> writer_;
  Json shards_ = Json::array();
  ShardInfo total_;
};

/// A block with the file that it is of.
struct Work {
  const InputFile* file = nullptr;
  InputBlock block;
  std::optional<bool> validation;  ///< none: drawn by the record's words
};

/// One run of prepare_data().
class Preparation {
 public:
  Preparation(const PrepareInputs& inputs, const Tokenizer& tokenizer, const PrepareConfig& config,
              const fs::path& folder)
      : inputs_(inputs),
        tokenizer_(tokenizer),
        config_(config),
        train_(folder, kTrain, config.shard_tokens),
        validation_(folder, kValidation, config.shard_tokens) {}

  Result<void> open() {
    MK_TRY(open_files(inputs_.train, std::nullopt));
    MK_TRY(open_files(inputs_.validation, true));
    for (const fs::path& path : inputs_.decontaminate) {
      MK_ASSIGN(const std::vector<fs::path> files, files_of(path));
      for (const fs::path& file : files) MK_TRY(tests_.add_file(file));
    }
    return make_encoder();
  }

  Result<PrepareReport> run() {
    const std::vector<Work> all = cut_files();
    ThreadPool pool(inputs_.num_threads);
    const size_t wave = static_cast<size_t>(inputs_.num_threads) * 4;
    for (size_t begin = 0; begin < all.size(); begin += wave) {
      const size_t count = std::min(wave, all.size() - begin);
      std::vector<std::vector<EncodedRecord>> results(count);
      pool.parallel_for(static_cast<int64_t>(count), 1, [&](int64_t first, int64_t last, int) {
        for (int64_t i = first; i < last; ++i) {
          const Work& work = all[begin + static_cast<size_t>(i)];
          results[static_cast<size_t>(i)] = blocks_.encode(work.block, work.file->is_jsonl());
        }
      });
      for (size_t i = 0; i < count; ++i) {
        for (EncodedRecord& record : results[i]) MK_TRY(take(all[begin + i], record));
        all[begin + i].file->drop(all[begin + i].block.text);
      }
    }
    return finish();
  }

  ShardKind kind() const { return info_.kind; }
  const ShardInfo& info() const { return info_; }

 private:
  struct Input {
    InputFile file;
    std::optional<bool> validation;
  };

  Result<void> open_files(const std::vector<fs::path>& paths, std::optional<bool> validation) {
    for (const fs::path& path : paths) {
      MK_ASSIGN(const std::vector<fs::path> files, files_of(path));
      for (const fs::path& file : files) {
        Result<InputFile> input = InputFile::open(file);
        if (input) {
          files_.push_back({std::move(*input), validation});
        } else if (input.error().code == ErrorCode::kCorrupt) {
          MK_TRY(leave_out(input.error()));
        } else {
          return pass_on(input);
        }
      }
    }
    return {};
  }

  Result<void> make_encoder() {
    const bool has_template = !tokenizer_.chat_template().empty();
    MK_ASSIGN(ExampleEncoder encoder,
              ExampleEncoder::create(tokenizer_, {.chat = config_.chat == "always" ||
                                                          (config_.chat == "auto" && has_template),
                                                  .separator = config_.separator,
                                                  .append_eos = !config_.no_eos,
                                                  .fim_rate = config_.fim_rate,
                                                  .seed = config_.data_seed}));
    encoder_.emplace(std::move(encoder));
    blocks_.encoder = &*encoder_;
    blocks_.tests = &tests_;
    blocks_.keys = {.text = config_.text_key,
                    .prompt = config_.prompt_key,
                    .completion = config_.completion_key};
    // A part that is left out must not join what lies around it.
    blocks_.whole_documents = tests_.empty() && !config_.dedupe && !config_.skip_bad;
    const auto name = std::ranges::find(kRecordFormatNames, config_.format);
    if (name != kRecordFormatNames.end()) {
      blocks_.format = static_cast<RecordFormat>(name - kRecordFormatNames.begin());
    }
    info_.vocab_size = tokenizer_.vocab_size();
    info_.tokenizer_hash = vocabulary_hash(tokenizer_);
    return {};
  }

  std::vector<Work> cut_files() const {
    std::vector<Work> all;
    const bool one_text =
        files_.size() == 1 && !files_[0].file.is_jsonl() && config_.validation > 0.0;
    for (const Input& input : files_) {
      const std::string_view text = input.file.text();
      const auto add = [&](std::string_view part, int64_t line, std::optional<bool> validation) {
        for (InputBlock& block : cut_blocks(part, input.file.is_jsonl(), inputs_.block_bytes)) {
          block.first_line += line;
          all.push_back({.file = &input.file, .block = block, .validation = validation});
        }
      };
      if (one_text) {
        const size_t cut = validation_cut(text);
        add(text.substr(0, cut), 0, false);
        add(text.substr(cut), std::ranges::count(text.substr(0, cut), '\n'), true);
        continue;
      }
      std::optional<bool> validation = input.validation;
      // All blocks of a text go the same way.
      if (!validation && !input.file.is_jsonl()) {
        validation = config_.validation > 0.0 && draw(hash128_hex(std::as_bytes(std::span(text))));
      }
      add(text, 0, validation);
    }
    return all;
  }

  // Where the last part of a single text begins, as nanoGPT cuts it.
  size_t validation_cut(std::string_view text) const {
    auto cut = static_cast<size_t>(static_cast<double>(text.size()) * (1.0 - config_.validation));
    while (cut < text.size() && (static_cast<uint8_t>(text[cut]) & 0xC0) == 0x80) ++cut;
    return cut;
  }

  bool draw(const std::string& content_hash) const {
    return uniform_at(config_.data_seed, text_hash(content_hash)) < config_.validation;
  }

  Result<void> leave_out(const Error& error) {
    if (!config_.skip_bad) {
      return fail(error.code, "{}; --skip-bad leaves such input out", error.message);
    }
    ++report_.bad;
    note(error.message);
    return {};
  }

  void note(std::string text) {
    constexpr size_t kNotesMax = 10;
    if (report_.notes.size() < kNotesMax) report_.notes.push_back(std::move(text));
  }

  Result<void> take(const Work& work, EncodedRecord& record) {
    const std::string place = fmt::format("{}:{}", work.file->path().string(), record.line);
    if (record.error) {
      Error error{record.error->code, fmt::format("{}: {}", place, record.error->message)};
      if (error.code == ErrorCode::kCorrupt) return leave_out(error);
      return tl::unexpected<Error>(std::move(error));
    }
    if (!kind_known_) info_.kind = record.kind;
    kind_known_ = true;
    if (record.kind != info_.kind) {
      return leave_out(
          {ErrorCode::kCorrupt, fmt::format("{}: {}, when what came before is {}", place,
                                            kind_name(record.kind), kind_name(info_.kind))});
    }
    ++report_.records;
    if (record.contaminated) {
      ++report_.contaminated;
      note(fmt::format("{}: shares {} words in a row with a test", place, NgramFilter::kWords));
      return {};
    }
    if (config_.dedupe && !seen_.insert(record.content_hash).second) {
      ++report_.duplicates;
      return {};
    }
    for (const TokenDocument& document : record.documents) {
      report_.lost_bytes += document.lost_bytes;
    }
    const bool validation =
        work.validation.value_or(config_.validation > 0.0 && draw(record.content_hash));
    return (validation ? validation_ : train_).add(record, info_);
  }

  static std::string_view kind_name(ShardKind kind) {
    if (kind == ShardKind::kText) return "a text";
    return kind == ShardKind::kPairs ? "a pair" : "an example with an answer";
  }

  Result<PrepareReport> finish() {
    MK_ASSIGN(Json train, train_.finish());
    MK_ASSIGN(Json validation, validation_.finish());
    if (train.is_null()) {
      return fail(ErrorCode::kCorrupt,
                  "nothing is left to train on: of {} records {} were bad, {} duplicates, {} "
                  "contaminated, the rest for validation",
                  report_.records + report_.bad, report_.bad, report_.duplicates,
                  report_.contaminated);
    }
    report_.splits.set(kTrain, std::move(train));
    if (!validation.is_null()) report_.splits.set(kValidation, std::move(validation));
    return std::move(report_);
  }

  const PrepareInputs& inputs_;
  const Tokenizer& tokenizer_;
  const PrepareConfig& config_;
  std::vector<Input> files_;
  NgramFilter tests_;
  std::optional<ExampleEncoder> encoder_;
  BlockEncoder blocks_;
  SplitWriter train_;
  SplitWriter validation_;
  ShardInfo info_;
  bool kind_known_ = false;
  std::unordered_set<std::string> seen_;
  PrepareReport report_;
};

Result<void> check_choice(std::string_view name, const std::string& value,
                          std::vector<std::string_view> allowed) {
  if (std::ranges::find(allowed, value) != allowed.end()) return {};
  std::string names;
  for (const std::string_view one : allowed) names += fmt::format(" {}", one);
  return fail(ErrorCode::kUsage, "{} is '{}', expected one of{}", name, value, names);
}

Result<void> check_config(const PrepareConfig& config) {
  std::vector<std::string_view> formats(kRecordFormatNames.begin(), kRecordFormatNames.end());
  formats.emplace_back("auto");
  MK_TRY(check_choice("format", config.format, std::move(formats)));
  return check_choice("chat", config.chat, {"auto", "always", "never"});
}

// Old shards go first, so that no dataset.json ever names what is not there.
Result<void> clear_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(ErrorCode::kFailed, "{}: {}", folder.string(), error.message());
  fs::remove(folder / kDatasetFile, error);
  std::vector<fs::path> old;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".mkt") old.push_back(entry.path());
  }
  for (const fs::path& path : old) fs::remove(path, error);
  return {};
}

Json config_json(PrepareConfig config) {
  Json out = Json::object();
  const auto visitor = [&](std::string_view name, auto& field, auto&&...) {
    out.set(name, Json(field));
  };
  config.visit(visitor);
  return out;
}

Json paths_json(const std::vector<fs::path>& paths) {
  Json out = Json::array();
  for (const fs::path& path : paths) out.push(path.string());
  return out;
}

}  // namespace

Json PrepareReport::to_json() const {
  Json lines = Json::array();
  for (const std::string& line : notes) lines.push(line);
  return Json::object({{"records", records},
                       {"bad", bad},
                       {"duplicates", duplicates},
                       {"contaminated", contaminated},
                       {"lost_bytes", lost_bytes},
                       {"notes", std::move(lines)},
                       {"splits", splits}});
}

Result<PrepareReport> prepare_data(const PrepareInputs& inputs, const Tokenizer& tokenizer,
                                   const PrepareConfig& config, const fs::path& folder) {
  MK_CHECK(inputs.num_threads > 0 && inputs.block_bytes > 0, "prepare: {} threads, blocks of {}",
           inputs.num_threads, inputs.block_bytes);
  MK_TRY(check_config(config));
  Preparation preparation(inputs, tokenizer, config, folder);
  MK_TRY(preparation.open());
  MK_TRY(clear_folder(folder));
  MK_ASSIGN(PrepareReport report, preparation.run());
  Json file = Json::object({{"format", kDatasetFormat}});
  file.set("tokenizer", Json::object({{"hash", preparation.info().tokenizer_hash},
                                      {"vocab_size", int64_t{preparation.info().vocab_size}},
                                      {"source", inputs.tokenizer_source}}));
  file.set("inputs", paths_json(inputs.train));
  file.set("settings", config_json(config));
  const Json counts = report.to_json();
  for (const auto& [key, value] : counts.as_object()) file.set(key, value);
  MK_TRY(write_file_atomic(folder / kDatasetFile, file.dump(2) + "\n"));
  return report;
}

Result<void> check_tokenizer(const TokenDataset& dataset, const Tokenizer& tokenizer) {
  if (dataset.info().tokenizer_hash == vocabulary_hash(tokenizer)) return {};
  return fail(ErrorCode::kCorrupt,
              "{} was made with another tokenizer ({} tokens, this one has {}): prepare it again",
              dataset.shards().front().name(), dataset.info().vocab_size, tokenizer.vocab_size());
}

Result<fs::path> prepared_data(const fs::path& data, const Tokenizer& tokenizer,
                               const PrepareConfig& config, const fs::path& scratch,
                               int num_threads, PrepareReport* report) {
  std::error_code error;
  fs::path folder = data;
  const bool is_prepared = data.extension() == ".mkt" || fs::exists(data / kDatasetFile, error);
  if (!is_prepared) {
    folder = scratch;
    if (!fs::exists(scratch / kDatasetFile, error)) {
      PrepareInputs inputs;
      inputs.train = {data};
      inputs.num_threads = num_threads;
      MK_ASSIGN(PrepareReport made, prepare_data(inputs, tokenizer, config, scratch));
      if (report != nullptr) *report = std::move(made);
    }
  }
  MK_ASSIGN(const TokenDataset dataset, TokenDataset::open(folder));
  MK_TRY(check_tokenizer(dataset, tokenizer));
  return folder;
}

}  // namespace minke
