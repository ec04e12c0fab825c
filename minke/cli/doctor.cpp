#include "minke/cli/doctor.h"

#include <algorithm>

#include "minke/cli/command.h"

namespace minke {
namespace {

class DoctorCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.add("verify", options_.verify, "hash the models' files, too");
    flags.add("port", options_.port, {1, 65535}, "the port to look at");
    flags.add("json", json_, "one JSON document");
    flags.example("minke doctor");
  }

  Result<void> run(const Console& console) override {
    const std::vector<Checkup> checks = examine_machine(options_);
    json_ ? print_document(console, checks) : print_lines(console, checks);
    const auto fails = std::count_if(checks.begin(), checks.end(), [](const Checkup& check) {
      return check.health == Health::kFail;
    });
    if (fails == 0) return {};
    return fail(ErrorCode::kFailed, "{} of {} checks failed", fails, checks.size());
  }

 private:
  static void print_document(const Console& console, const std::vector<Checkup>& checks) {
    Json::Array rows;
    for (const Checkup& check : checks) {
      rows.push_back(Json::object({{"name", check.name},
                                   {"health", health_name(check.health)},
                                   {"sentence", check.sentence},
                                   {"fix", check.fix.empty() ? Json() : Json(check.fix)}}));
    }
    console.print_json(Json::object({{"version", MINKE_VERSION}, {"checks", std::move(rows)}}));
  }

  static void print_lines(const Console& console, const std::vector<Checkup>& checks) {
    for (const Checkup& check : checks) {
      const char* color = check.health == Health::kOk        ? "32"
                          : check.health == Health::kWarning ? "33"
                                                             : "31";
      const std::string word = fmt::format("{:<8}", health_name(check.health));
      const bool to_terminal = console.color && is_terminal(console.out);
      console.print("{}{:<15}{}\n", to_terminal ? console.painted(word, color) : word, check.name,
                    check.sentence);
      if (!check.fix.empty()) console.print("{:<23}fix: {}\n", "", check.fix);
    }
  }

  DoctorOptions options_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_doctor_command() { return std::make_unique<DoctorCommand>(); }

}  // namespace minke
