#include "minke/base/clock.h"
#include "minke/cli/command.h"
#include "minke/hub/model_store.h"
#include "minke/hub/pull.h"
#include "minke/hub/source_lookup.h"

namespace minke {
namespace {

class VerifyCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", name_, Flags::Need::kRequired,
                     "a name from minke list; what was not pulled has no hashes to compare with");
    flags.add("json", json_, "one JSON document");
    flags.example("minke verify smollm2-135m");
  }

  Result<void> run(const Console& console) override {
    const double start = seconds_now();
    std::error_code error;
    if (!is_model_name(name_) && std::filesystem::exists(name_, error)) {
      return fail(
          ErrorCode::kUsage,
          "{} was not pulled, so there are no hashes to compare it with; verify takes a name "
          "from minke list",
          name_);
    }
    MK_ASSIGN(const StoredModel model, ModelStore::open_default().find(name_));
    const Result<void> verified = verify_model(model);
    if (!verified) {
      const std::string again = pull_command(model.manifest);
      return fail(verified.error().code, "{}; get it again with: minke rm --yes {} && {}",
                  verified.error().message, name_, again);
    }
    if (json_) {
      Json document = model.manifest.to_json();
      document.set("verified", true);
      document.set("seconds", seconds_now() - start);
      console.print_json(document);
      return {};
    }
    for (const ManifestFile& file : model.manifest.all_files()) {
      console.print("{}  {}\n", file.sha256, file.name);
    }
    console.note("{}: every byte is as it was pulled from {}", name_, model.manifest.source);
    return {};
  }

 private:
  std::string name_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_verify_command() { return std::make_unique<VerifyCommand>(); }

}  // namespace minke
