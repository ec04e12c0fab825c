// The manual page, made from the table of commands.
#include "minke/cli/command.h"

namespace minke {
namespace {

/// `text` for troff: no line starts with a request, and dashes can be copied.
std::string troff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '-' || c == '\\') out += '\\';
    out += c == '\\' ? 'e' : c;
    if (c == '\n') out += "\\&";
  }
  const bool is_request = out.starts_with('.') || out.starts_with('\'');
  return (is_request ? "\\&" : "") + out;
}

std::string command_text(const CommandInfo& info) {
  std::string usage = fmt::format("minke {}", info.row->name);
  std::string places;
  std::string flags;
  for (const FlagInfo& flag : info.flags) {
    if (flag.is_place) {
      const std::string word = flag.name + (flag.repeats ? "..." : "");
      usage += flag.is_required ? " " + word : fmt::format(" [{}]", word);
      places += fmt::format(".TP\n.I {}\n{}\n", troff(flag.name), troff(flag.help));
      continue;
    }
    const std::string letter = flag.letter != 0 ? fmt::format("\\-{}, ", flag.letter) : "";
    const std::string value =
        flag.value.empty() ? "" : fmt::format(" \\fI{}\\fR", troff(flag.value));
    flags += fmt::format(".TP\n\\fB{}\\-\\-{}\\fR{}\n{}{}\n", letter, troff(flag.name), value,
                         troff(flag.help), flag.is_required ? " (required)" : "");
  }
  std::string out = fmt::format(".SS {} [FLAGS]\n{}\n{}{}", troff(usage), troff(info.row->summary),
                                places, flags);
  out += ".PP\nExamples:\n.nf\n";
  for (const std::string& line : info.examples) out += troff(line) + "\n";
  return out + ".fi\n";
}

constexpr const char* kExitCodes =
    ".SH EXIT STATUS\n"
    "0 success; 1 failed; 2 wrong flag, setting or request; 3 not found; 4 credentials missing or "
    "refused; 5 will not fit (memory, disk, context); 6 network; 7 corrupt data; 8 below the "
    "wanted "
    "score; 130 interrupted by Ctrl\\-C; 143 stopped by SIGTERM.\n";

constexpr const char* kEnvironment =
    ".SH ENVIRONMENT\n"
    ".TP\n.B MINKE_HOME\nfolder of models, cache and state, in place of the XDG folders\n"
    ".TP\n.B MINKE_KERNELS\nforces the kernels, e.g. ref or avx2\n"
    ".TP\n.B MINKE_API_KEY\nthe key that clients of minke serve must send\n"
    ".TP\n.B NO_COLOR\nany text: no colours, unless \\-\\-color always\n";

}  // namespace

std::string man_page() {
  std::string out = fmt::format(
      ".\\\" made by: minke help --man\n.TH MINKE 1 \"\" \"minke {}\" \"User Commands\"\n"
      ".SH NAME\nminke \\- train, serve and chat with language models\n"
      ".SH SYNOPSIS\n.B minke\n.I COMMAND\n[ARGUMENTS] [FLAGS]\n"
      ".SH DESCRIPTION\nData goes to standard output, everything else to standard error.\n"
      ".SH COMMANDS\n",
      MINKE_VERSION);
  for (const CommandInfo& info : command_infos()) out += command_text(info);
  return out + kExitCodes + kEnvironment;
}

}  // namespace minke
