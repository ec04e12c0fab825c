#include "minke/cli/command.h"
#include "minke/tensor/device.h"

namespace minke {
namespace {

class VersionCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.add("json", json_, "one JSON document");
    flags.example("minke version --json");
  }

  Result<void> run(const Console& console) override {
    Json::Array kernels;
    std::string words;
    for (const CpuLevel level : kCpuLevels) {
      if (!cpu_level_supported(level)) continue;
      kernels.emplace_back(cpu_level_name(level));
      words += std::string(words.empty() ? "" : " ") + cpu_level_name(level);
    }
    if (json_) {
      console.print_json(Json::object({{"version", MINKE_VERSION},
                                       {"compiler", "g++ " __VERSION__},
                                       {"kernels", std::move(kernels)}}));
      return {};
    }
    console.print("minke {}\n", MINKE_VERSION);
    if (console.verbosity > 0) {
      console.print("compiler  {}\nkernels   {}\n", __VERSION__, words);
    }
    return {};
  }

 private:
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_version_command() { return std::make_unique<VersionCommand>(); }

}  // namespace minke
