#include "minke/hub/pull.h"

#include <signal.h>

#include <cstdlib>

#include "minke/base/clock.h"
#include "minke/base/nearest_name.h"
#include "minke/cli/command.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/progress.h"
#include "minke/hub/hub_pull.h"

namespace minke {
namespace {

constexpr double kNoteSeconds = 10.0;  // between signs of life where there is no progress bar
constexpr int kAttemptsScript = 6;     // 15 s of waiting where nobody can press Ctrl-C

tl::unexpected<Error> unknown_model(const std::string& name) {
  std::string all;
  for (const std::string& known : known_model_names()) all += (all.empty() ? "" : ", ") + known;
  return fail(ErrorCode::kNotFound,
              "minke pull does not know '{}'{}; it knows {}, and repositories such as "
              "hf.co/OWNER/REPO",
              name, did_you_mean(name, known_model_names()), all);
}

class PullCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", name_, Flags::Need::kRequired,
                     "a known name, OWNER/REPO[:QUANTISATION or :FILE][@REVISION] of Hugging Face, "
                     "ms://OWNER/REPO... of ModelScope, or a URL");
    flags.add("name", stored_name_, "how to call the model here (default: the file's name)");
    flags.add("verify", verify_, "hash a model that is there already, too");
    flags.add("offline", offline_,
              "never use the network: the store and Hugging Face's cache only");
    flags.add("connections", connections_, {1, 16}, "how many parts of a file to fetch at a time");
    flags.add("retries", retries_, {0, 1000},
              "attempts without progress before it gives up; 0: for ever, as on a terminal");
    flags.add("timeout", timeout_seconds_, {1, 3600},
              "seconds after which a connection that brings nothing is given up");
    flags.add("json", json_, "one JSON document about the model");
    flags.example("minke pull smollm2-135m");
    flags.example("minke pull hf.co/bartowski/SmolLM2-1.7B-Instruct-GGUF:Q4_K_M");
    flags.example("minke pull ms://Qwen/Qwen3-0.6B-GGUF:Q8_0 --name qwen3");
    has_retries_ = [&flags] { return flags.given("retries"); };
  }

  Result<void> run(const Console& console) override {
    // A limit on file sizes and a connection that was closed are errors to tell, not to die of.
    ::signal(SIGXFSZ, SIG_IGN);
    ::signal(SIGPIPE, SIG_IGN);
    const Interrupts interrupts;
    const double start = seconds_now();
    const Result<PullResult> pulled = pull(console, interrupts);
    if (!pulled) return failed(pulled.error());
    report(console, *pulled, seconds_now() - start);
    return {};
  }

 private:
  Result<PullResult> pull(const Console& console, const Interrupts& interrupts) const {
    MK_ASSIGN(HubSettings settings, HubSettings::from_environment());
    if (offline_) settings.offline = "--offline";
    if (const KnownModel* model = find_known_model(name_)) {
      return pull_known(console, interrupts, *model, settings);
    }
    if (!looks_like_source(name_)) return unknown_model(name_);
    MK_ASSIGN(const ModelSource source, parse_source(name_, settings));
    return pull_source(console, interrupts, source, settings);
  }

  Result<PullResult> pull_known(const Console& console, const Interrupts& interrupts,
                                const KnownModel& model, const HubSettings& settings) const {
    const ModelStore store = ModelStore::open_default();
    if (!settings.offline.empty() && !store.find(name_)) {
      return fail(ErrorCode::kNotFound,
                  "offline ({}): {} is not in {}; pull it once with a "
                  "connection",
                  settings.offline, name_, store.folder().string());
    }
    double noted = seconds_now();
    const double start = noted;
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
    return pull_model(store, model, options);
  }

  Result<PullResult> pull_source(const Console& console, const Interrupts& interrupts,
                                 const ModelSource& source, const HubSettings& settings) const {
    ProgressBar bar(console);
    HubPullOptions options;
    options.name = stored_name_;
    options.verify = verify_;
    options.connections = connections_;
    const bool patient = is_terminal(console.err) && !console.quiet;
    options.patience.attempts_max = has_retries_() ? retries_ : patient ? 0 : kAttemptsScript;
    options.patience.stall_seconds_max = timeout_seconds_;
    options.patience.connect_seconds_max = timeout_seconds_;
    options.patience.should_stop = [&] { return interrupts.count() > 0; };
    options.patience.say = [&](std::string_view line) {
      bar.clear();
      console.note("{}", line);
    };
    options.on_plan = [&](const PullPlan& plan) { tell_plan(console, plan); };
    options.on_progress = [&](uint64_t done, uint64_t total) { bar.update(done, total); };
    return pull_from_hub(ModelStore::open_default(), source, settings, options);
  }

  static void tell_plan(const Console& console, const PullPlan& plan) {
    const auto text = [](uint64_t bytes) { return bytes_text(static_cast<double>(bytes)); };
    const std::string revision =
        plan.revision.empty() ? "" : fmt::format(" at {}", plan.revision.substr(0, 12));
    console.note(
        "{} from {}{}: {} file{}, {}{}; {} free", plan.name, plan.source, revision, plan.num_files,
        plan.num_files == 1 ? "" : "s", text(plan.bytes_total),
        plan.bytes_there > 0 ? fmt::format(", {} here already", text(plan.bytes_there)) : "",
        text(plan.bytes_free));
  }

  tl::unexpected<Error> failed(const Error& error) const {
    const bool is_known = find_known_model(name_) != nullptr;
    if (error.code == ErrorCode::kInterrupted) {
      return fail(error.code, "{}",
                  is_known ? "interrupted; nothing was changed"
                           : "interrupted; the same command goes on from here");
    }
    if (error.code == ErrorCode::kCorrupt && verify_ && is_known) {
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
      document.set("bytes_fetched", pulled.bytes_fetched);
      document.set("seconds", seconds);
      console.print_json(document);
      return;
    }
    const std::string& name = model.manifest.name;
    if (pulled.was_there) {
      console.note("{} is there already: {}", name, model.path().string());
      return;
    }
    console.note("{} is ready after {:.1f} s: {}", name, seconds, model.path().string());
    console.note("try: minke run {} \"Why is the sky blue?\"", name);
  }

  std::string name_;
  std::string stored_name_;
  bool verify_ = false;
  bool offline_ = false;
  bool json_ = false;
  int connections_ = 4;
  int timeout_seconds_ = 30;
  int retries_ = kAttemptsScript;
  std::function<bool()> has_retries_;
};

}  // namespace

std::unique_ptr<Command> make_pull_command() { return std::make_unique<PullCommand>(); }

}  // namespace minke
