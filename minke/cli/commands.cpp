#include <array>
#include <vector>

#include "minke/base/log.h"
#include "minke/base/nearest_name.h"
#include "minke/cli/command.h"
#include "minke/cli/interrupts.h"

namespace minke {
namespace {

// The commands. Adding one is a file in this folder and a row here.
constexpr std::array kRows = {
    CommandRow{"run", "Use", "Ask a model once; the answer goes to standard output",
               make_run_command},
    CommandRow{"chat", "Use", "Talk with a model in the terminal", make_chat_command},
    CommandRow{"serve", "Use", "Serve a model over HTTP, as OpenAI's and DeepSeek's clients expect",
               make_serve_command},
    CommandRow{"pull", "Models", "Get a model onto this machine", make_pull_command},
    CommandRow{"list", "Models", "List the pulled models on this machine", make_list_command},
    CommandRow{"show", "Models", "Tell what is in a model", make_show_command},
    CommandRow{"verify", "Models", "Check a model's bytes, or compare it with another",
               make_verify_command},
    CommandRow{"convert", "Models", "Write a model as GGUF or as a Hugging Face folder",
               make_convert_command},
    CommandRow{"export", "Models", "Write a model as convert does, read it back and compare",
               make_export_command},
    CommandRow{"quantize", "Models", "Write a model in fewer bits a weight", make_quantize_command},
    CommandRow{"merge", "Models", "Write a model with LoRA adapters in its weights",
               make_merge_command},
    CommandRow{"rm", "Models", "Delete a model from this machine", make_rm_command},
    CommandRow{"data", "Train", "Turn texts and examples into token shards, and look into them",
               make_data_command},
    CommandRow{"tokenizer", "Train", "Learn a tokenizer from text", make_tokenizer_command},
    CommandRow{"pretrain", "Train", "Train a model to predict the next token",
               make_pretrain_command},
    CommandRow{"sft", "Train", "Fine-tune a model, or a LoRA adapter, on examples of answers",
               make_sft_command},
    CommandRow{"dpo", "Train", "Fine-tune on pairs of a better and a worse answer",
               make_dpo_command},
    CommandRow{"runs", "Train", "List, show and compare training runs, and write reports of them",
               make_runs_command},
    CommandRow{"tokenize", "Text", "Turn text into token ids and back", make_tokenize_command},
    CommandRow{"render", "Text", "Turn a conversation into the prompt that a model reads",
               make_render_command},
    CommandRow{"eval", "Judge", "Measure how well a model does", make_eval_command},
    CommandRow{"logits", "Judge", "Print the logits that a model gives for token ids",
               make_logits_command},
    CommandRow{"bench", "Judge", "Measure speed, and this machine's limits", make_bench_command},
    CommandRow{"doctor", "Care", "Check this machine and say how to fix what is wrong",
               make_doctor_command},
    CommandRow{"cache", "Care", "List or delete packed weights of models larger than memory",
               make_cache_command},
    CommandRow{"completion", "Care", "Print a script that completes command lines in a shell",
               make_completion_command},
    CommandRow{"version", "Care", "Tell the version and how it was built", make_version_command},
};

struct Alias {
  std::string_view typed;
  std::string_view name;
};
constexpr std::array kAliases = {Alias{"ls", "list"}, Alias{"--version", "version"},
                                 Alias{"-V", "version"}, Alias{"remove", "rm"}};

const CommandRow* find_row(std::string_view name) {
  for (const Alias& alias : kAliases) {
    if (alias.typed == name) name = alias.name;
  }
  for (const CommandRow& row : kRows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

std::string overview() {
  std::string out =
      "minke: train, serve and chat with language models on the hardware you have\n\n"
      "Usage: minke COMMAND [ARGUMENTS] [FLAGS]\n";
  std::string_view group;
  for (const CommandRow& row : kRows) {
    if (row.group != group) out += fmt::format("\n{}:\n", row.group);
    group = row.group;
    out += fmt::format("  {:<12}{}\n", row.name, row.summary);
  }
  return out +
         "\nminke COMMAND --help tells more about one; minke help --man prints the manual page.\n"
         "To begin:\n"
         "  minke pull smollm2-135m\n"
         "  minke run smollm2-135m \"Why is the sky blue?\"\n";
}

Error unknown_command(const std::string& name) {
  std::vector<std::string> names = {"help"};
  for (const CommandRow& row : kRows) names.emplace_back(row.name);
  return {ErrorCode::kUsage,
          fmt::format("unknown command '{}'{} (see minke help)", name, did_you_mean(name, names))};
}

// Flags that every command has.
struct SharedFlags {
  bool quiet = false;
  int verbosity = 0;
  std::string color = "auto";

  void add_to(Flags& flags) {
    flags.add("quiet,q", quiet, "no notes on standard error, only errors");
    flags.count("verbose,v", verbosity, "tell more on standard error");
    flags.choice("color", color, {"auto", "always", "never"}, "colours on the terminal");
  }
  Console apply(Console console) const {
    console.quiet = quiet;
    console.verbosity = verbosity;
    console.color = color == "always" || (color == "auto" && color_wanted(console.err));
    set_log_level(quiet ? LogLevel::kError : verbosity > 0 ? LogLevel::kDebug : LogLevel::kInfo);
    return console;
  }
};

Result<void> run_row(const CommandRow& row, std::span<const std::string> args,
                     const Console& console) {
  const std::unique_ptr<Command> command = row.make();
  Flags flags(fmt::format("minke {}", row.name), std::string(row.summary));
  SharedFlags shared;
  command->add_flags(flags);
  shared.add_to(flags);
  MK_ASSIGN(const Flags::Outcome outcome, flags.parse(args));
  if (outcome == Flags::Outcome::kHelp) {
    console.print("{}", flags.help());
    return {};
  }
  return command->run(shared.apply(console));
}

Result<void> dispatch(std::span<const std::string> args, const Console& console) {
  if (args.empty() || args[0] == "--help" || args[0] == "-h") {
    console.print("{}", overview());
    return {};
  }
  std::vector<std::string> words(args.begin(), args.end());
  if (words[0] == "help") {  // minke help run = minke run --help
    if (words.size() == 2 && words[1] == "--man") {
      console.print("{}", man_page());
      return {};
    }
    if (words.size() == 1) {
      console.print("{}", overview());
      return {};
    }
    words = {words[1], "--help"};
  }
  const CommandRow* row = find_row(words[0]);
  if (row == nullptr) return tl::unexpected<Error>(unknown_command(words[0]));
  return run_row(*row, std::span(words).subspan(1), console);
}

}  // namespace

std::span<const CommandRow> command_rows() { return kRows; }

std::vector<CommandInfo> command_infos() {
  std::vector<CommandInfo> infos;
  for (const CommandRow& row : kRows) {
    const std::unique_ptr<Command> command = row.make();
    Flags flags(fmt::format("minke {}", row.name), std::string(row.summary));
    SharedFlags shared;
    command->add_flags(flags);
    shared.add_to(flags);
    infos.push_back({&row, flags.rows(), flags.examples()});
  }
  return infos;
}

int run_command_line(std::span<const std::string> args, const Console& console) {
  Result<void> result = dispatch(args, console);
  // A reply that did not reach its file is no success.
  if (std::fflush(console.out) != 0 && result) {
    result = fail(ErrorCode::kFailed, "cannot write to the standard output");
  }
  if (result) return 0;
  const bool interrupted = result.error().code == ErrorCode::kInterrupted;
  if (!interrupted || !result.error().message.empty()) {
    fmt::print(console.err, "minke: {}\n", result.error().message);
  }
  const bool terminated = interrupted && Interrupts::last_was_terminated();
  return static_cast<int>(terminated ? ErrorCode::kTerminated : result.error().code);
}

}  // namespace minke
