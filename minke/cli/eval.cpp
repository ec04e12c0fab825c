#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/cli/command.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/loaded_model.h"
#include "minke/eval/choice.h"
#include "minke/eval/perplexity.h"
#include "minke/eval/scoring.h"

namespace minke {
namespace {

constexpr double kNoteSeconds = 10.0;

class EvalCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional_choice("WHAT", what_, {"perplexity", "choice"},
                            "perplexity of a text, or questions whose answer is the likeliest of "
                            "several continuations");
    flags.add("model,m", model_, kModelHelp);
    flags.require("model");
    flags.add("file,f", file_,
              "the text to predict; choice: lines of JSON such as "
              "{\"context\": \"The sky is\", \"choices\": [\" blue\", \" made\"], \"answer\": 0}");
    flags.require("file");
    flags.add("context", context_, {2, 1 << 24}, "tokens of a window");
    flags.add("below", below_, {0, 1e30},
              "perplexity: exit with 8 unless it is at most this; 0: no");
    flags.add("above", above_, {0, 1},
              "choice: exit with 8 unless the accuracy is at least this; 0: no");
    flags.add("json", json_, "one JSON document");
    load_.add_to(flags);
    flags.example(
        "minke eval perplexity --model smollm2-135m --file text.txt --context 512 --json");
    flags.example("minke eval choice --model smollm2-135m --file questions.jsonl");
  }

  Result<void> run(const Console& console) override {
    load_.ctx = context_;
    return what_ == "choice" ? run_choice(console) : run_perplexity(console);
  }

 private:
  Result<void> run_perplexity(const Console& console) {
    MK_ASSIGN(const std::string text, read_file(file_));
    MK_ASSIGN(const LoadedModel model, load_model_for(model_, load_, console));
    const std::vector<int32_t> ids = model.tokenizer->encode(std::string_view(text));
    MK_ASSIGN(Scorer scorer,
              Scorer::create(*model.device, *model.model, model.engine_config.kv_dtype, context_));
    const Interrupts interrupts;
    const double start = seconds_now();
    double noted = start;
    size_t scored = 0;
    const auto score = [&](std::span<const int32_t> window) -> Result<std::vector<double>> {
      if (interrupts.count() > 0) return fail(ErrorCode::kInterrupted, "interrupted");
      if (seconds_now() - noted >= kNoteSeconds) {
        noted = seconds_now();
        console.note("{} of {} tokens after {:.0f} s", scored, ids.size(), noted - start);
      }
      scored += window.size();
      return scorer.score(window);
    };
    MK_ASSIGN(const Perplexity result, perplexity(ids, context_, score));
    report(console, model, result, seconds_now() - start);
    if (below_ > 0 && !(result.perplexity <= below_)) {
      return fail(ErrorCode::kBelowThreshold, "perplexity {:.4f} is above {}", result.perplexity,
                  below_);
    }
    return {};
  }

  Result<void> run_choice(const Console& console) {
    MK_ASSIGN(const std::vector<ChoiceQuestion> questions, read_choice_questions(file_));
    MK_ASSIGN(const LoadedModel model, load_model_for(model_, load_, console));
    MK_ASSIGN(Scorer scorer,
              Scorer::create(*model.device, *model.model, model.engine_config.kv_dtype, context_));
    const Interrupts interrupts;
    const double start = seconds_now();
    double noted = start;
    const auto progress = [&](int64_t done) {
      if (seconds_now() - noted >= kNoteSeconds) {
        noted = seconds_now();
        console.note("{} of {} questions after {:.0f} s", done, questions.size(), noted - start);
      }
      return interrupts.count() == 0;
    };
    MK_ASSIGN(const ChoiceScore score,
              score_choices(*model.tokenizer, questions, scorer, context_, progress));
    report_choice(console, model, score, seconds_now() - start);
    if (score.accuracy() < above_) {
      return fail(ErrorCode::kBelowThreshold, "accuracy {:.4f} is below {}", score.accuracy(),
                  above_);
    }
    return {};
  }

  void report_choice(const Console& console, const LoadedModel& model, const ChoiceScore& score,
                     double seconds) const {
    if (json_) {
      console.print_json(Json::object({{"accuracy", score.accuracy()},
                                       {"accuracy_normalized", score.accuracy_normalized()},
                                       {"interval", score.interval()},
                                       {"correct", score.correct},
                                       {"correct_normalized", score.correct_normalized},
                                       {"questions", score.questions},
                                       {"cut", score.cut},
                                       {"context", context_},
                                       {"precision", model.precision},
                                       {"seconds", seconds}}));
      return;
    }
    console.print("accuracy    {:.4f} +- {:.4f} (95 %), by bytes {:.4f}\n", score.accuracy(),
                  score.interval(), score.accuracy_normalized());
    console.print("questions   {} in {:.1f} s\n", score.questions, seconds);
    if (score.cut > 0) {
      console.note("{} choices lost the beginning of their context: see --context", score.cut);
    }
  }

  void report(const Console& console, const LoadedModel& model, const Perplexity& result,
              double seconds) const {
    const double rate = static_cast<double>(result.tokens) / seconds;
    if (json_) {
      console.print_json(Json::object({{"perplexity", result.perplexity},
                                       {"nll", result.nll},
                                       {"tokens", result.tokens},
                                       {"windows", result.windows},
                                       {"context", context_},
                                       {"precision", model.precision},
                                       {"seconds", seconds},
                                       {"tokens_per_second", rate}}));
      return;
    }
    console.print("perplexity  {:.4f}\nnll         {:.5f} nats a token\n", result.perplexity,
                  result.nll);
    console.print("tokens      {} in {} windows of {}\ntime        {:.1f} s, {:.0f} tokens/s\n",
                  result.tokens, result.windows, context_, seconds, rate);
  }

  std::string what_;
  std::string model_;
  std::string file_;
  int context_ = 512;
  double below_ = 0;
  double above_ = 0;
  bool json_ = false;
  LoadFlags load_;
};

}  // namespace

std::unique_ptr<Command> make_eval_command() { return std::make_unique<EvalCommand>(); }

}  // namespace minke
