// Completion scripts for the shells, made from the table of commands.
#include "minke/cli/command.h"

namespace minke {
namespace {

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::vector<std::string> command_names() {
  std::vector<std::string> names = {"help"};
  for (const CommandRow& row : command_rows()) names.emplace_back(row.name);
  return names;
}

/// `text` with `escape` before each of `characters`.
std::string escaped(std::string_view text, std::string_view characters, std::string_view escape) {
  std::string out;
  for (const char c : text) {
    if (characters.find(c) != std::string_view::npos) out += escape;
    out += c;
  }
  return out;
}

/// Inside of '...' in bash and zsh; fish takes it, too.
std::string single_quoted(std::string_view text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

/// The words that a place of the command takes, when it is one of a few.
std::vector<std::string> place_words(const CommandInfo& info) {
  std::vector<std::string> words;
  for (const FlagInfo& flag : info.flags) {
    if (flag.is_place) words.insert(words.end(), flag.choices.begin(), flag.choices.end());
  }
  return words;
}

// What the scripts ask for the models of this machine.
constexpr const char* kModelNames = "minke list --quiet 2>/dev/null | tail -n +2 | cut -d' ' -f1";

std::string bash_script() {
  std::string flags;
  std::string values;
  for (const CommandInfo& info : command_infos()) {
    std::vector<std::string> names;
    for (const FlagInfo& flag : info.flags) {
      if (flag.is_place) continue;
      names.push_back("--" + flag.name);
      if (flag.choices.empty()) continue;
      values += fmt::format("    '{} --{}') words='{}' ;;\n", info.row->name, flag.name,
                            joined(flag.choices));
    }
    flags += fmt::format("    {}) flags='{}' words='{}' ;;\n", info.row->name, joined(names),
                         joined(place_words(info)));
  }
  return fmt::format(R"sh(# bash completion for minke; made by: minke completion bash
_minke() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  local command="${{COMP_WORDS[1]}}" flags='--help' words=''
  if (( COMP_CWORD == 1 )); then
    COMPREPLY=($(compgen -W '{}' -- "$word"))
    return
  fi
  case "$command" in
    help) words='{}' ;;
{}  esac
  if [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$word"))
    return
  fi
  local places="$words"
  words=''
  case "$command $before" in
{}  esac
  if [[ -n "$words" ]]; then
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    return
  fi
  [[ -n "$places" ]] || places="$({})"
  COMPREPLY=($(compgen -W "$places" -- "$word") $(compgen -f -- "$word"))
}}
complete -o filenames -F _minke minke
)sh",
                     joined(command_names()), joined(command_names()), flags, values, kModelNames);
}

/// One argument of zsh's _arguments: '(-x --xx)'{-x,--xx}'[help]:VALUE:(choices)'.
std::string zsh_argument(const FlagInfo& flag) {
  const std::string help = escaped(flag.help, "[]:\\", "\\");
  std::string value;
  if (!flag.value.empty()) {
    const std::string choices =
        flag.choices.empty() ? "_files" : fmt::format("({})", joined(flag.choices));
    value = fmt::format(":{}:{}", flag.choices.empty() ? flag.value : "value", choices);
  }
  const std::string spec = single_quoted(fmt::format("[{}]{}", help, value));
  if (flag.letter == 0) return fmt::format("'*--{}'{}", flag.name, spec);
  return fmt::format("'*'{{-{},--{}}}{}", flag.letter, flag.name, spec);
}

std::string zsh_script() {
  std::string commands;
  std::string cases;
  for (const CommandInfo& info : command_infos()) {
    const std::string summary = escaped(info.row->summary, ":", "\\");
    commands += "    " + single_quoted(fmt::format("{}:{}", info.row->name, summary)) + "\n";
    cases += fmt::format("    {})\n      _arguments", info.row->name);
    for (const FlagInfo& flag : info.flags) {
      if (!flag.is_place) cases += " \\\n        " + zsh_argument(flag);
    }
    const std::vector<std::string> words = place_words(info);
    cases += words.empty() ? " \\\n        '*:model or file:_minke_models' ;;\n"
                           : fmt::format(" \\\n        '*:word:({})' ;;\n", joined(words));
  }
  return fmt::format(R"sh(#compdef minke
# zsh completion for minke; made by: minke completion zsh
_minke_models() {{
  compadd -- ${{(f)"$({})"}}
  _files
}}
_minke() {{
  local -a commands
  commands=(
    'help:Tell how to use minke'
{}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{}  esac
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _minke "$@"
else
  compdef _minke minke
fi
)sh",
                     kModelNames, commands, cases);
}

std::string fish_script() {
  std::string out =
      "# fish completion for minke; made by: minke completion fish\n"
      "complete -c minke -n __fish_use_subcommand -f -a help -d 'Tell how to use minke'\n";
  for (const CommandInfo& info : command_infos()) {
    const std::string_view name = info.row->name;
    out += fmt::format("complete -c minke -n __fish_use_subcommand -f -a {} -d {}\n", name,
                       single_quoted(info.row->summary));
    const std::string when =
        fmt::format("complete -c minke -n '__fish_seen_subcommand_from {}'", name);
    for (const FlagInfo& flag : info.flags) {
      if (flag.is_place) continue;
      out += fmt::format("{} -l {}", when, flag.name);
      if (flag.letter != 0) out += fmt::format(" -s {}", flag.letter);
      if (!flag.value.empty()) out += " -r";
      if (!flag.choices.empty()) out += fmt::format(" -f -a '{}'", joined(flag.choices));
      out += fmt::format(" -d {}\n", single_quoted(flag.help));
    }
    const std::vector<std::string> words = place_words(info);
    out += words.empty() ? fmt::format("{} -a \"({})\"\n", when, kModelNames)
                         : fmt::format("{} -f -a '{}'\n", when, joined(words));
  }
  return out;
}

class CompletionCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional_choice("SHELL", shell_, {"bash", "zsh", "fish"}, "which shell");
    flags.example("minke completion bash > ~/.local/share/bash-completion/completions/minke");
    flags.example("minke completion zsh > ~/.zfunc/_minke   # a folder of $fpath");
    flags.example("minke completion fish > ~/.config/fish/completions/minke.fish");
  }

  Result<void> run(const Console& console) override {
    console.print("{}", shell_ == "bash"  ? bash_script()
                        : shell_ == "zsh" ? zsh_script()
                                          : fish_script());
    return {};
  }

 private:
  std::string shell_;
};

}  // namespace

std::unique_ptr<Command> make_completion_command() { return std::make_unique<CompletionCommand>(); }

}  // namespace minke
