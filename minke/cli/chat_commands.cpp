#include <algorithm>
#include <array>
#include <charconv>

#include "minke/base/nearest_name.h"
#include "minke/cli/chat_session.h"

namespace minke {
namespace {

constexpr uint64_t kMaxTokensMax = 1 << 24;

enum class Next { kGoOn, kLeave };

// One /command: `run` gets what stands after the name.
struct ChatCommandRow {
  std::string_view name;
  std::string_view argument;
  std::string_view help;
  Result<Next> (*run)(ChatSession& session, const std::string& argument);
};

std::span<const ChatCommandRow> rows();

template <class T>
bool parse_number(const std::string& text, T& value) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && stop == text.data() + text.size();
}

// Sets the field of SamplingParams that is called `name`.
struct SettingWriter {
  std::string name;
  std::string text;
  bool found = false;
  std::string problem;
  std::vector<std::string> names;

  template <class T, class L>
  void operator()(const char* field_name, T& field, L low, L high, const char*) {
    names.emplace_back(field_name);
    if (name != field_name) return;
    found = true;
    T value{};
    if (!parse_number(text, value) || value < static_cast<T>(low) || value > static_cast<T>(high)) {
      problem = fmt::format("{} is '{}', expected {} to {}", name, text, low, high);
      return;
    }
    field = value;
  }
};

struct SettingPrinter {
  const Console& console;
  template <class T, class L>
  void operator()(const char* name, T& field, L, L, const char* help) {
    console.note("  {:<20} {:<8} {}", name, field, help);
  }
};

Result<Next> set_command(ChatSession& session, const std::string& argument) {
  ChatSettings& settings = session.settings();
  if (argument.empty()) {
    SettingPrinter printer{session.console()};
    settings.sampling.visit(printer);
    session.console().note("  {:<20} {:<8} seed of the first reply", "seed",
                           settings.sampling.seed);
    session.console().note("  {:<20} {:<8} tokens of a reply; 0 has no limit", "max_tokens",
                           settings.max_tokens);
    return Next::kGoOn;
  }
  const size_t space = argument.find(' ');
  SettingWriter writer;
  writer.name = argument.substr(0, space);
  if (space != std::string::npos)
    writer.text = argument.substr(argument.find_first_not_of(' ', space));
  std::replace(writer.name.begin(), writer.name.end(), '-', '_');
  if (writer.name == "seed" || writer.name == "max_tokens") {
    uint64_t value = 0;
    const bool is_seed = writer.name == "seed";
    if (!parse_number(writer.text, value) || (!is_seed && value > kMaxTokensMax)) {
      return fail(ErrorCode::kUsage, "{} is '{}', expected a whole number", writer.name,
                  writer.text);
    }
    if (is_seed) {
      settings.sampling.seed = value;
    } else {
      settings.max_tokens = static_cast<int>(value);
    }
    return Next::kGoOn;
  }
  settings.sampling.visit(writer);
  if (!writer.problem.empty()) return fail(ErrorCode::kUsage, "{}", writer.problem);
  if (!writer.found) {
    return fail(ErrorCode::kUsage, "no setting '{}'{}; /set shows them", writer.name,
                did_you_mean(writer.name, writer.names));
  }
  return Next::kGoOn;
}

Result<Next> help_command(ChatSession& session, const std::string&) {
  for (const ChatCommandRow& row : rows()) {
    session.console().note("  {:<22} {}", fmt::format("{} {}", row.name, row.argument), row.help);
  }
  session.console().note(
      "  \"\"\" begins and ends a message of several lines; so does a backslash at a line's end");
  return Next::kGoOn;
}

Result<Next> system_command(ChatSession& session, const std::string& argument) {
  session.settings().system = argument;
  session.console().note("{}", argument.empty() ? "no system prompt" : "system prompt set");
  return Next::kGoOn;
}

Result<Next> regen_command(ChatSession& session, const std::string&) {
  MK_TRY(session.regenerate());
  return Next::kGoOn;
}

Result<Next> undo_command(ChatSession& session, const std::string&) {
  MK_TRY(session.undo());
  session.console().note("the last message and its reply are taken back");
  return Next::kGoOn;
}

Result<Next> clear_command(ChatSession& session, const std::string&) {
  session.clear();
  session.console().note("a new conversation");
  return Next::kGoOn;
}

Result<Next> save_command(ChatSession& session, const std::string& argument) {
  if (argument.empty()) return fail(ErrorCode::kUsage, "/save wants a file");
  MK_TRY(session.save(argument));
  session.console().note("saved to {}", argument);
  return Next::kGoOn;
}

Result<Next> load_command(ChatSession& session, const std::string& argument) {
  if (argument.empty()) return fail(ErrorCode::kUsage, "/load wants a file");
  MK_TRY(session.load(argument));
  session.console().note("loaded {} messages", session.messages().size());
  return Next::kGoOn;
}

Result<Next> stats_command(ChatSession& session, const std::string&) {
  if (!session.last()) return fail(ErrorCode::kUsage, "no reply yet");
  session.console().note("{}", speed_text(*session.last()));
  return Next::kGoOn;
}

Result<Next> tokens_command(ChatSession& session, const std::string&) {
  MK_ASSIGN(const int64_t tokens, session.count_tokens());
  session.console().note("{} of {} tokens", tokens, session.context_tokens());
  return Next::kGoOn;
}

Result<Next> think_command(ChatSession& session, const std::string& argument) {
  ChatSettings& settings = session.settings();
  if (argument == "on" || argument == "off") {
    settings.think = argument == "on";
  } else if (argument == "show" || argument == "hide") {
    settings.show_thinking = argument == "show";
  } else {
    return fail(ErrorCode::kUsage, "/think wants on, off, show or hide");
  }
  return Next::kGoOn;
}

Result<Next> file_command(ChatSession& session, const std::string& argument) {
  if (argument.empty()) return fail(ErrorCode::kUsage, "/file wants a file");
  MK_TRY(session.attach(argument));
  session.console().note("{} goes with the next message", argument);
  return Next::kGoOn;
}

Result<Next> exit_command(ChatSession&, const std::string&) { return Next::kLeave; }

constexpr std::array kRows = {
    ChatCommandRow{"/help", "", "show this", help_command},
    ChatCommandRow{"/system", "[TEXT]", "set the system prompt, or remove it", system_command},
    ChatCommandRow{"/set", "[NAME VALUE]", "show or change how tokens are drawn", set_command},
    ChatCommandRow{"/think", "on|off|show|hide", "ask for thinking, or hide it", think_command},
    ChatCommandRow{"/file", "PATH", "add a text file to the next message", file_command},
    ChatCommandRow{"/regen", "", "answer the last message anew", regen_command},
    ChatCommandRow{"/undo", "", "take the last message and its reply back", undo_command},
    ChatCommandRow{"/clear", "", "begin a new conversation", clear_command},
    ChatCommandRow{"/save", "PATH", "write the conversation to a file", save_command},
    ChatCommandRow{"/load", "PATH", "go on with a saved conversation", load_command},
    ChatCommandRow{"/stats", "", "how fast the last reply was", stats_command},
    ChatCommandRow{"/tokens", "", "how much of the context is used", tokens_command},
    ChatCommandRow{"/exit", "", "leave (also /bye, /quit, Ctrl-D)", exit_command},
};
constexpr std::array<std::string_view, 2> kExitAliases = {"/bye", "/quit"};

std::span<const ChatCommandRow> rows() { return kRows; }

}  // namespace

Result<bool> run_chat_command(ChatSession& session, const std::string& line) {
  const size_t space = line.find_first_of(" \t\n");
  std::string name = line.substr(0, space);
  const size_t begin = space == std::string::npos ? space : line.find_first_not_of(" \t\n", space);
  std::string argument = begin == std::string::npos ? "" : line.substr(begin);
  argument.erase(argument.find_last_not_of(" \t\n") + 1);
  for (const std::string_view alias : kExitAliases) {
    if (name == alias) name = "/exit";
  }
  std::vector<std::string> names;
  for (const ChatCommandRow& row : kRows) {
    if (row.name == name) {
      MK_ASSIGN(const Next next, row.run(session, argument));
      return next == Next::kLeave;
    }
    names.emplace_back(row.name);
  }
  return fail(ErrorCode::kUsage, "unknown command {}{}; /help shows them", name,
              did_you_mean(name, names));
}

}  // namespace minke
