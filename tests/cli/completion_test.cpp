// Goal: completion scripts and the manual page name exactly the commands and flags of the table,
// and load in the shells they are for. Method: bash runs its script and is asked for completions;
// the scripts of zsh and fish are read by these shells where they are installed, and compared as
// texts everywhere.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "minke/base/files.h"
#include "minke/cli/command.h"
#include "tests/cli/console_files.h"
#include "tests/hub/scratch_folder.h"

namespace minke {
namespace {

using Words = std::set<std::string>;

std::string output_of(const std::vector<std::string>& args) {
  ConsoleFiles files;
  EXPECT_EQ(run_command_line(args, files.console()), 0) << files.err();
  return files.out();
}

/// What a shell command prints, and its exit code.
std::pair<std::string, int> shell(const std::string& command) {
  std::FILE* const pipe = ::popen((command + " 2>&1").c_str(), "r");
  std::string text;
  std::array<char, 4096> chunk;
  while (const size_t got = std::fread(chunk.data(), 1, chunk.size(), pipe)) {
    text.append(chunk.data(), got);
  }
  return {text, ::pclose(pipe)};
}

bool is_installed(const std::string& program) { return shell("command -v " + program).second == 0; }

Words words_of(const std::string& text) {
  std::istringstream stream(text);
  Words words;
  for (std::string word; stream >> word;) words.insert(word);
  return words;
}

Words command_names() {
  Words names = {"help"};
  for (const CommandRow& row : command_rows()) names.emplace(row.name);
  return names;
}

Words flag_names(const CommandInfo& info) {
  Words names;
  for (const FlagInfo& flag : info.flags) {
    if (!flag.is_place) names.insert("--" + flag.name);
  }
  return names;
}

class Completion : public testing::Test {
 protected:
  /// The script in a file; its path.
  std::string script(const std::string& name) {
    const auto path = scratch_.path() / name;
    EXPECT_TRUE(write_file_atomic(path, output_of({"completion", name})));
    return path.string();
  }
  ScratchFolder scratch_;
};

/// What bash completes "minke WORDS... LAST" to.
Words bash_completes(const std::string& script, const std::string& words, size_t count) {
  const auto [text, code] = shell(fmt::format(
      "bash -c 'source {}; COMP_WORDS=(minke {}); COMP_CWORD={}; _minke; echo ${{COMPREPLY[@]}}'",
      script, words, count));
  EXPECT_EQ(code, 0) << text;
  return words_of(text);
}

TEST_F(Completion, BashCompletesCommandsFlagsAndTheirValues) {
  const std::string path = script("bash");
  EXPECT_EQ(bash_completes(path, "\"\"", 1), command_names());
  EXPECT_EQ(bash_completes(path, "rend", 1), Words{"render"});
  for (const CommandInfo& info : command_infos()) {
    EXPECT_EQ(bash_completes(path, fmt::format("{} --", info.row->name), 2), flag_names(info))
        << info.row->name;
  }
  EXPECT_EQ(bash_completes(path, "list --color \"\"", 3), (Words{"auto", "always", "never"}));
  EXPECT_EQ(bash_completes(path, "completion z", 2), Words{"zsh"});
  EXPECT_EQ(bash_completes(path, "help rend", 2), Words{"render"});
}

TEST_F(Completion, ZshNamesEveryCommandAndFlag) {
  const std::string path = script("zsh");
  const std::string text = read_file(path).value();
  for (const CommandInfo& info : command_infos()) {
    const std::string start = fmt::format("    {})\n", info.row->name);
    const size_t begin = text.find(start);
    ASSERT_NE(begin, std::string::npos) << info.row->name;
    const std::string section = text.substr(begin, text.find(";;", begin) - begin);
    Words found;
    const std::regex pattern("[*,]'?(--[a-z0-9-]+)");
    for (std::sregex_iterator at(section.begin(), section.end(), pattern), end; at != end; ++at) {
      found.insert((*at)[1]);
    }
    EXPECT_EQ(found, flag_names(info)) << info.row->name;
  }
  if (!is_installed("zsh")) GTEST_SKIP() << "no zsh here: its text was checked";
  const auto [said, code] = shell(fmt::format(
      "zsh -fc 'autoload -U compinit; compinit -u -D; source {}; whence _minke'", path));
  EXPECT_EQ(code, 0) << said;
  EXPECT_EQ(said, "_minke\n");
}

TEST_F(Completion, FishCompletesCommandsAndFlags) {
  const std::string path = script("fish");
  std::istringstream lines(read_file(path).value());
  std::map<std::string, Words> found;
  const std::regex pattern("subcommand_from ([a-z]+)' -l ([a-z0-9-]+)");
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_search(line, match, pattern)) found[match[1]].insert("--" + match[2].str());
  }
  for (const CommandInfo& info : command_infos()) {
    EXPECT_EQ(found[std::string(info.row->name)], flag_names(info)) << info.row->name;
  }
  if (!is_installed("fish")) GTEST_SKIP() << "no fish here: its text was checked";
  const auto [said, code] =
      shell(fmt::format("fish -N -c 'source {}; complete -C \"minke list --js\"'", path));
  EXPECT_EQ(code, 0) << said;
  EXPECT_NE(said.find("--json\t"), std::string::npos) << said;
}

TEST(ManPage, NamesEveryCommandFlagAndExitCodeAndIsGoodTroff) {
  const std::string page = output_of({"help", "--man"});
  EXPECT_EQ(page.find("\n.TH MINKE 1"), page.find('\n'));
  for (const CommandInfo& info : command_infos()) {
    EXPECT_NE(page.find(fmt::format(".SS minke {}", info.row->name)), std::string::npos);
    for (const FlagInfo& flag : info.flags) {
      const std::string dashed = std::regex_replace(flag.name, std::regex("-"), "\\-");
      const std::string wanted = flag.is_place ? "\n.I " + dashed : "\\-\\-" + dashed + "\\fR";
      EXPECT_NE(page.find(wanted), std::string::npos) << flag.name;
    }
  }
  for (const char* code : {"130 interrupted", "143 stopped by SIGTERM", "7 corrupt data"}) {
    EXPECT_NE(page.find(code), std::string::npos) << code;
  }
  if (!is_installed("groff")) GTEST_SKIP() << "no groff here to read it";
  const ScratchFolder scratch;
  const auto path = scratch.path() / "minke.1";
  ASSERT_TRUE(write_file_atomic(path, page));
  const auto [said, code] = shell("groff -man -Tascii -ww -z " + path.string());
  EXPECT_EQ(code, 0);
  EXPECT_EQ(said, "");
}

}  // namespace
}  // namespace minke
