#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/result.h"
#include "minke/cli/console.h"
#include "minke/cli/flags.h"

namespace minke {

/// A command while it runs: its fields are what its flags set. One object a call.
class Command {
 public:
  virtual ~Command() = default;
  /// Binds the fields to flags and places, and gives an example.
  virtual void add_flags(Flags& flags) = 0;
  /// Does the work, after the flags were parsed. The error's code becomes the exit code.
  virtual Result<void> run(const Console& console) = 0;
};

/// A row of the commands table.
struct CommandRow {
  std::string_view name;
  std::string_view group;  ///< heading in `minke help`
  std::string_view summary;
  std::unique_ptr<Command> (*make)();
};

/// All commands in the order of `minke help`; rows of one group stand together.
std::span<const CommandRow> command_rows();

/// `run MODEL [PROMPT]`: one answer, streamed or as JSON; a chat when there is nothing to ask.
std::unique_ptr<Command> make_run_command();
/// `chat MODEL`: a conversation in the terminal or from a pipe.
std::unique_ptr<Command> make_chat_command();
/// `serve --model M`: the HTTP API until Ctrl-C.
std::unique_ptr<Command> make_serve_command();
/// `pull NAME|SOURCE`: a known model, or one of a hub, into the store.
std::unique_ptr<Command> make_pull_command();
/// `list`: the models in the store.
std::unique_ptr<Command> make_list_command();
/// `show MODEL|FILE`: metadata and tensors; weights are read only for the loads of --experts.
std::unique_ptr<Command> make_show_command();
/// `verify NAME`: hashes a stored model's files again.
std::unique_ptr<Command> make_verify_command();
/// `convert SOURCE DESTINATION`: between GGUF and Hugging Face's folders, and between formats.
std::unique_ptr<Command> make_convert_command();
/// `export SOURCE DESTINATION`: convert, then proof that it is the same model.
std::unique_ptr<Command> make_export_command();
/// `quantize SOURCE DESTINATION`: a model in fewer bits.
std::unique_ptr<Command> make_quantize_command();
/// `merge MODEL DESTINATION --adapter A`: adapters in a model's weights, or in one adapter.
std::unique_ptr<Command> make_merge_command();
/// `pretrain --init MODEL`: full weights, by predicting the next token.
std::unique_ptr<Command> make_pretrain_command();
/// `sft --init MODEL --data FOLDER`: an adapter or all weights, by examples of answers.
std::unique_ptr<Command> make_sft_command();
/// `dpo --init MODEL --data FOLDER`: the same by pairs of a better and a worse answer.
std::unique_ptr<Command> make_dpo_command();
/// `rm NAME`: deletes a model from the store after asking.
std::unique_ptr<Command> make_rm_command();
/// `tokenize MODEL`: text on standard input to ids, or back.
std::unique_ptr<Command> make_tokenize_command();
/// `tokenizer train FILE... --out FOLDER`: a tokenizer learned from text.
std::unique_ptr<Command> make_tokenizer_command();
/// `render MODEL --messages F`: a conversation as the text that a model reads.
std::unique_ptr<Command> make_render_command();
/// `data prepare|show|verify`: training data.
std::unique_ptr<Command> make_data_command();
/// `runs list|show|compare|report|events`: training runs, from their folders.
std::unique_ptr<Command> make_runs_command();
/// `eval perplexity|choice`: how well a model predicts a text, or answers questions.
std::unique_ptr<Command> make_eval_command();
/// `logits`: what a model makes of token ids, number by number.
std::unique_ptr<Command> make_logits_command();
/// `bench limits|decode|prefill|batch`: speed, and the machine's limits.
std::unique_ptr<Command> make_bench_command();
/// `doctor`: what is wrong with this machine, and how to fix it.
std::unique_ptr<Command> make_doctor_command();
/// `cache list|prune|clear`: packed weights of models larger than memory.
std::unique_ptr<Command> make_cache_command();
/// `version`: what was built, and how.
std::unique_ptr<Command> make_version_command();

/// `completion bash|zsh|fish`: a script that completes minke's command lines in that shell.
std::unique_ptr<Command> make_completion_command();

/// A row with the flags that its command declares, those that all commands have included.
struct CommandInfo {
  const CommandRow* row = nullptr;
  std::vector<FlagInfo> flags;
  std::vector<std::string> examples;
};

/// Every command of the table: what completion scripts and the man page are made of.
std::vector<CommandInfo> command_infos();

/// The manual page in troff's man format, for `minke help --man`.
std::string man_page();

/// Runs a command line (without the program's name) and gives the exit code of DESIGN section 6.
/// Errors go to console.err as one line. What SIGTERM stopped ends with 143 in place of 130.
int run_command_line(std::span<const std::string> args, const Console& console);

}  // namespace minke
