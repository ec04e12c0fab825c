#include "minke/cli/flags.h"

#include <CLI/CLI.hpp>
#include <algorithm>

#include "minke/base/nearest_name.h"

namespace minke {
namespace {

std::string dashed(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

std::string quoted_list(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : "|") + word;
  return out;
}

}  // namespace

struct Flags::Impl {
  struct Row : FlagInfo {
    CLI::Option* option = nullptr;
  };

  CLI::App app;
  std::string command;
  std::string summary;
  std::vector<Row> rows;
  std::vector<std::string> examples;
  bool help_wanted = false;

  // Splits "model,m" and gives the name in CLI11's spelling.
  Row make_row(std::string_view name, std::string value, std::string help) {
    Row row;
    const size_t comma = name.find(',');
    row.name = dashed(name.substr(0, comma));
    if (comma != std::string_view::npos) row.letter = name[comma + 1];
    row.value = std::move(value);
    row.help = std::move(help);
    return row;
  }
  static std::string cli_name(const Row& row) {
    return (row.letter != 0 ? fmt::format("-{},", row.letter) : std::string()) + "--" + row.name;
  }
  void finish(Row row, CLI::Option* option) {
    row.option = option;
    rows.push_back(std::move(row));
  }

  // A flag with one value; a flag that is given twice takes the last value.
  template <class T>
  CLI::Option* add_value(std::string_view name, T& field, std::string value, std::string help) {
    Row row = make_row(name, std::move(value), std::move(help));
    CLI::Option* option = app.add_option(cli_name(row), field)->take_last();
    finish(std::move(row), option);
    return option;
  }

  std::vector<std::string> flag_names() const {
    std::vector<std::string> names;
    for (const Row& row : rows) {
      if (!row.is_place) names.push_back("--" + row.name);
    }
    return names;
  }

  // --top_k means --top-k, as users of other tools type it.
  std::string normalised(const std::string& arg) const {
    if (!arg.starts_with("--")) return arg;
    const size_t equals = arg.find('=');
    const std::string name = arg.substr(0, equals);
    const std::string with_dashes = dashed(name);
    const std::vector<std::string> names = flag_names();
    if (std::find(names.begin(), names.end(), with_dashes) == names.end()) return arg;
    return with_dashes + (equals == std::string::npos ? "" : arg.substr(equals));
  }

  tl::unexpected<Error> usage(const std::string& what) const {
    return fail(ErrorCode::kUsage, "{} (see {} --help)", what, command);
  }

  tl::unexpected<Error> unexpected_argument(const std::string& arg) const {
    if (!arg.starts_with("-")) return usage(fmt::format("unexpected argument '{}'", arg));
    const std::string name = arg.substr(0, arg.find('='));
    return usage(fmt::format("unknown flag {}{}", name, did_you_mean(name, flag_names())));
  }
};

Flags::Flags(std::string command, std::string summary) : impl_(std::make_unique<Impl>()) {
  impl_->command = std::move(command);
  impl_->summary = std::move(summary);
  impl_->app.set_help_flag();
  impl_->app.allow_extras();
  add("help,h", impl_->help_wanted, "show this text");
}

Flags::~Flags() = default;

void Flags::add(std::string_view name, bool& field, std::string_view help) {
  Impl::Row row = impl_->make_row(name, "", std::string(help));
  CLI::Option* option = impl_->app.add_flag(Impl::cli_name(row), field);
  impl_->finish(std::move(row), option);
}

void Flags::count(std::string_view name, int& field, std::string_view help) {
  Impl::Row row = impl_->make_row(name, "", std::string(help));
  CLI::Option* option = impl_->app.add_flag(Impl::cli_name(row), field);
  impl_->finish(std::move(row), option);
}

void Flags::add(std::string_view name, std::string& field, std::string_view help) {
  std::string text(help);
  if (!field.empty()) text += fmt::format(" (default {})", field);
  impl_->add_value(name, field, "TEXT", std::move(text));
}

void Flags::add(std::string_view name, int& field, Range range, std::string_view help) {
  impl_->add_value(name, field, "N", fmt::format("{} (default {})", help, field))
      ->check(CLI::Range(static_cast<int>(range.low), static_cast<int>(range.high)));
}

void Flags::add(std::string_view name, int64_t& field, Range range, std::string_view help) {
  impl_->add_value(name, field, "N", fmt::format("{} (default {})", help, field))
      ->check(CLI::Range(static_cast<int64_t>(range.low), static_cast<int64_t>(range.high)));
}

void Flags::add(std::string_view name, uint64_t& field, std::string_view help) {
  // CLI11 would take -1 for the largest number.
  impl_->add_value(name, field, "N", std::string(help))
      ->check([](const std::string& text) -> std::string {
        const bool is_digits = text.find_first_not_of("0123456789") == std::string::npos;
        return is_digits ? "" : fmt::format("'{}' is no whole number", text);
      });
}

void Flags::add(std::string_view name, double& field, Range range, std::string_view help) {
  impl_->add_value(name, field, "X", fmt::format("{} (default {})", help, field))
      ->check(CLI::Range(range.low, range.high));
}

void Flags::add(std::string_view name, std::vector<std::string>& field, std::string_view help) {
  Impl::Row row = impl_->make_row(name, "TEXT", fmt::format("{}; may be repeated", help));
  CLI::Option* option =
      impl_->app.add_option(Impl::cli_name(row), field)->allow_extra_args(false)->take_all();
  impl_->finish(std::move(row), option);
}

void Flags::choice(std::string_view name, std::string& field, std::vector<std::string> allowed,
                   std::string_view help) {
  std::string text(help);
  if (!field.empty()) text += fmt::format(" (default {})", field);
  impl_->add_value(name, field, quoted_list(allowed), std::move(text))
      ->check(CLI::IsMember(allowed));
  impl_->rows.back().choices = std::move(allowed);
}

void Flags::require(std::string_view name) {
  for (Impl::Row& row : impl_->rows) {
    if (row.name != name) continue;
    row.is_required = true;
    row.option->required();
  }
}

void Flags::positional(std::string_view name, std::string& field, Need need,
                       std::string_view help) {
  Impl::Row row;
  row.name = name;
  row.help = help;
  row.is_place = true;
  row.is_required = need == Need::kRequired;
  CLI::Option* option = impl_->app.add_option(row.name, field)->required(row.is_required);
  impl_->finish(std::move(row), option);
}

void Flags::positional_choice(std::string_view name, std::string& field,
                              std::vector<std::string> allowed, std::string_view help) {
  positional(name, field, Need::kRequired, fmt::format("{}: {}", help, quoted_list(allowed)));
  // CLI11 would take a word that fails the check for an unexpected argument; ours names the
  // choices.
  impl_->rows.back().option->check([allowed](const std::string& word) -> std::string {
    if (std::find(allowed.begin(), allowed.end(), word) != allowed.end()) return {};
    return fmt::format("'{}' is none of {}{}", word, quoted_list(allowed),
                       did_you_mean(word, allowed));
  });
  impl_->rows.back().choices = std::move(allowed);
}

void Flags::rest(std::string_view name, std::vector<std::string>& field, std::string_view help) {
  Impl::Row row;
  row.name = name;
  row.help = help;
  row.is_place = true;
  row.repeats = true;
  CLI::Option* option = impl_->app.add_option(row.name, field);
  impl_->finish(std::move(row), option);
}

void Flags::example(std::string_view line) { impl_->examples.emplace_back(line); }

Result<Flags::Outcome> Flags::parse(std::span<const std::string> args) {
  std::vector<std::string> reversed;  // CLI11 takes the words last first
  bool flags_ended = false;
  for (const std::string& arg : args) {
    flags_ended = flags_ended || arg == "--";
    reversed.push_back(flags_ended ? arg : impl_->normalised(arg));
  }
  // Help is wanted even where the rest of the line is wrong or not there yet.
  for (const std::string& arg : reversed) {
    if (arg == "--") break;
    if (arg == "--help" || arg == "-h") return Outcome::kHelp;
  }
  std::reverse(reversed.begin(), reversed.end());
  try {
    impl_->app.parse(std::move(reversed));
  } catch (const CLI::ParseError& error) {
    const std::vector<std::string> left = impl_->app.remaining();
    const auto is_flag = [](const std::string& arg) { return arg.starts_with("-"); };
    const auto flag = std::find_if(left.begin(), left.end(), is_flag);
    if (flag != left.end()) return impl_->unexpected_argument(*flag);
    return impl_->usage(error.what());
  }
  for (const std::string& arg : impl_->app.remaining()) {
    if (arg != "--") return impl_->unexpected_argument(arg);
  }
  return Outcome::kRun;
}

bool Flags::given(std::string_view name) const {
  for (const Impl::Row& row : impl_->rows) {
    if (row.name == name) return row.option->count() > 0;
  }
  return false;
}

std::vector<FlagInfo> Flags::rows() const { return {impl_->rows.begin(), impl_->rows.end()}; }

const std::vector<std::string>& Flags::examples() const { return impl_->examples; }

std::string Flags::help() const {
  std::string usage = impl_->command;
  std::string places;
  std::string flags;
  for (const Impl::Row& row : impl_->rows) {
    if (row.is_place) {
      const std::string dots = row.repeats ? "..." : "";
      usage += row.is_required ? " " + row.name + dots : fmt::format(" [{}{}]", row.name, dots);
      places += fmt::format("  {:<26}{}\n", row.name, row.help);
      continue;
    }
    const std::string letter = row.letter != 0 ? fmt::format("-{}, ", row.letter) : "    ";
    const std::string left =
        fmt::format("{}--{}{}{}", letter, row.name, row.value.empty() ? "" : " ", row.value);
    const std::string gap = left.size() < 25 ? "" : "\n" + std::string(28, ' ');
    flags +=
        fmt::format("  {:<26}{}{}{}\n", left, gap, row.help, row.is_required ? " (required)" : "");
  }
  std::string out = fmt::format("{}\n\nUsage: {} [FLAGS]\n", impl_->summary, usage);
  if (!places.empty()) out += "\nArguments:\n" + places;
  out += "\nFlags:\n" + flags;
  if (!impl_->examples.empty()) out += "\nExamples:\n";
  for (const std::string& line : impl_->examples) out += "  " + line + "\n";
  return out;
}

}  // namespace minke
