#include <algorithm>
#include <filesystem>

#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/cli/command.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/progress.h"
#include "minke/text/tokenizer_trainer.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr double kNoteSeconds = 10.0;

class TokenizerCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional_choice("ACTION", action_, {"train"}, "train: learn a tokenizer from text");
    flags.rest("FILE", files_, "text in UTF-8; each file is a text of its own");
    flags.add("out,o", out_,
              "the folder to write tokenizer.json and tokenizer_config.json to, as Hugging Face's "
              "tokenizers read them");
    flags.require("out");
    constexpr double kVocabMax = 1 << 20;
    flags.add("vocab-size", config_.vocab_size, {1, kVocabMax},
              "tokens, special ones and the 256 bytes included");
    flags.add("pretokenizer", config_.pretokenizer,
              "how text is cut into words, which no token crosses: gpt-2, llama-bpe, qwen2, "
              "deepseek-llm, deepseek-v3 and others");
    flags.add("special", config_.special_tokens,
              "a special token, such as <|im_start|>; may be given several times, ids from 0 on");
    flags.add("eos", eos_, "the special token that ends a text; '' for none");
    flags.add("bos", config_.bos, "a special token to put before each text");
    flags.add("min-frequency", config_.min_frequency, {1, 1e15},
              "how often a pair must occur to become a token");
    flags.add("limit-alphabet", config_.limit_alphabet, {0, 256},
              "single bytes that are tokens: at most so many of the text's, the most frequent; 0: "
              "all 256, which any text can be written with");
    flags.add("characters", config_.characters,
              "no merges: each character of the text is a token, in the order of code points; no "
              "end of text unless --eos names one");
    flags.add("lines", config_.lines,
              "each line is a text of its own, so that no token crosses a line's end");
    flags.add("chat-template", chat_template_, "a file with the Jinja template to put beside it");
    flags.add("force,f", force_, "replace the tokenizer that the folder has");
    flags.add("threads,t", threads_, {0, 1024}, "threads that count words; 0: all CPUs");
    flags.add("json", json_, "one JSON document in place of the sentence");
    flags.example("minke tokenizer train corpus.txt --out my-tokenizer --vocab-size 8192");
    flags.example("minke tokenizer train input.txt --out characters --characters");
    flags_ = &flags;
  }

  Result<void> run(const Console& console) override {
    MK_TRY(read_settings());
    const Interrupts interrupts;
    const double start = seconds_now();
    ProgressBar bar(console);
    TokenizerTrainerProgress progress;
    progress.counting = [&](uint64_t done, uint64_t total) {
      bar.update(done, total);
      return interrupts.count() == 0;
    };
    double told_at = start;
    progress.merging = [&](int64_t done, int64_t total) {
      bar.clear();
      if (seconds_now() - told_at > kNoteSeconds) {
        told_at = seconds_now();
        console.note("{} of {} tokens", done, total);
      }
      return interrupts.count() == 0;
    };
    ThreadPool threads(threads_ > 0 ? threads_ : available_cpus());
    const std::vector<fs::path> paths(files_.begin(), files_.end());
    MK_ASSIGN(const TrainedTokenizer trained, train_tokenizer(paths, config_, threads, progress));
    bar.clear();
    MK_TRY(write_tokenizer(trained.texts, out_, force_));
    report(console, trained, seconds_now() - start);
    return {};
  }

 private:
  Result<void> read_settings() {
    if (files_.empty()) {
      return fail(ErrorCode::kUsage,
                  "no file to learn from: minke tokenizer train FILE --out FOLDER --vocab-size N");
    }
    const bool bpe = !config_.characters;
    if (bpe && !flags_->given("vocab-size")) {
      return fail(ErrorCode::kUsage, "--vocab-size is missing, such as 8192 (or --characters)");
    }
    for (const char* name : {"pretokenizer", "min-frequency", "limit-alphabet", "lines"}) {
      if (bpe || !flags_->given(name)) continue;
      return fail(ErrorCode::kUsage, "--characters and --{} exclude each other", name);
    }
    if (bpe || flags_->given("eos")) config_.eos = eos_;
    std::error_code error;
    if (!force_ && fs::exists(fs::path(out_) / "tokenizer.json", error)) {
      return fail(ErrorCode::kUsage, "{} has a tokenizer.json: take another folder, or --force",
                  out_);
    }
    if (chat_template_.empty()) return {};
    MK_ASSIGN(config_.chat_template, read_file(chat_template_, size_t{1} << 20));
    return {};
  }

  void report(const Console& console, const TrainedTokenizer& trained, double seconds) const {
    const double bytes_per_token = static_cast<double>(trained.text_bytes) /
                                   static_cast<double>(std::max<int64_t>(trained.num_tokens, 1));
    if (json_) {
      console.print_json(Json::object({{"path", out_},
                                       {"vocab_size", trained.vocab_size},
                                       {"special_tokens", trained.num_special},
                                       {"alphabet", trained.num_letters},
                                       {"merges", trained.num_merges},
                                       {"words", trained.num_words},
                                       {"text_bytes", trained.text_bytes},
                                       {"text_tokens", trained.num_tokens},
                                       {"bytes_per_token", bytes_per_token},
                                       {"seconds", seconds}}));
      return;
    }
    console.print("{}: {} tokens, {} merges, learned from {} in {:.2f} s; {:.2f} bytes a token\n",
                  out_, trained.vocab_size, trained.num_merges,
                  bytes_text(static_cast<double>(trained.text_bytes)), seconds, bytes_per_token);
  }

  const Flags* flags_ = nullptr;
  std::string action_;
  std::vector<std::string> files_;
  std::string out_;
  TokenizerTrainerConfig config_;
  std::string eos_ = "<|endoftext|>";
  std::string chat_template_;
  bool force_ = false;
  int threads_ = 0;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_tokenizer_command() { return std::make_unique<TokenizerCommand>(); }

}  // namespace minke
