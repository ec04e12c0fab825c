#include <atomic>
#include <cstdlib>
#include <thread>

#include "minke/base/clock.h"
#include "minke/cli/command.h"
#include "minke/cli/interrupts.h"
#include "minke/cli/loaded_model.h"
#include "minke/server/generator.h"
#include "minke/server/server.h"

namespace minke {
namespace {

// Turns signals into calls of stop(): the first one drains, the second one ends at once.
class StopWatch {
 public:
  StopWatch(const Interrupts& interrupts, Server& server, const Console& console)
      : thread_([this, &interrupts, &server, &console] {
          int seen = 0;
          while (!ended_) {
            if (interrupts.count() > seen) {
              if (seen++ == 0) {
                console.note("\nfinishing what still runs; Ctrl-C again stops at once");
              }
              server.stop();
            }
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
          }
        }) {}
  ~StopWatch() {
    ended_ = true;
    thread_.join();
  }
  StopWatch(const StopWatch&) = delete;
  StopWatch& operator=(const StopWatch&) = delete;

 private:
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

class ServeCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.add("model,m", model_, kModelHelp);
    flags.require("model");
    flags.add("alias", aliases_, "further name that requests may call the model by");
    flags.add("parallel,p", parallel_, {1, 4096}, "requests that generate together");
    flags.add("no-prefix-cache", no_prefix_cache_, "compute every prompt from its first token");
    flags.add_visited(config_);
    load_.add_to(flags);
    flags.example("minke serve --model smollm2-135m");
    flags.example("MINKE_API_KEY=secret minke serve --model smollm2-135m --host 0.0.0.0");
  }

  Result<void> run(const Console& console) override {
    // An environment variable, because a process's flags are there for everybody to read.
    const char* key = std::getenv("MINKE_API_KEY");
    if (config_.api_keys.empty() && key != nullptr && key[0] != '\0') config_.api_keys = {key};
    const Interrupts interrupts;
    MK_ASSIGN(const LoadedModel model, load_model_for(model_, load_, console));
    EngineConfig engine_config = model.engine_config;
    engine_config.sequences_max = parallel_;
    engine_config.prefix_cache = !no_prefix_cache_;
    MK_ASSIGN(const std::unique_ptr<Engine> engine, model.make_engine(engine_config));
    EngineGenerator generator(engine.get());
    ServedModel offer = served(model, generator, engine_config);
    MK_TRY(model.recommend(offer.sampling, [](std::string_view) { return false; }));
    MK_ASSIGN(const std::unique_ptr<Server> server, Server::create(config_, offer));
    tell(console, model, server->port());
    {
      const StopWatch stop_watch(interrupts, *server, console);
      server->run();
    }
    console.note("stopped");
    return {};
  }

 private:
  ServedModel served(const LoadedModel& model, Generator& generator,
                     const EngineConfig& engine_config) const {
    ServedModel out;
    out.name = model.name;
    out.aliases = aliases_;
    out.generator = &generator;
    out.tokenizer = &*model.tokenizer;
    out.chat_template = model.chat_template ? &*model.chat_template : nullptr;
    out.context_tokens = engine_config.context_tokens;
    out.precision = model.precision;
    out.description = fmt::format("{}, {}, {} kernels, {} threads, up to {} requests together",
                                  model.model->config().architecture, model.precision,
                                  cpu_level_name(model.device->level()),
                                  model.device->pool().num_threads(), parallel_);
    for (const std::string& adapter : model.adapters) {
      out.description += ", adapter ";
      out.description += adapter;
    }
    out.created = unix_seconds();
    out.expert_loads = [&decoder = *model.model] { return expert_loads(decoder); };
    return out;
  }

  void tell(const Console& console, const LoadedModel& model, uint16_t port) const {
    const bool is_ipv6 = config_.host.find(':') != std::string::npos;
    const std::string host = is_ipv6 ? "[" + config_.host + "]" : config_.host;
    const std::string url = fmt::format("http://{}:{}", host, port);
    console.note("{} is served at {} (loaded in {:.2f} s). Try:", model.name, url,
                 model.load_seconds);
    const std::string authorization =
        config_.api_keys.empty() ? "" : " -H 'Authorization: Bearer YOUR_KEY'";
    console.note(
        "  curl {}/v1/chat/completions -H 'Content-Type: application/json'{} -d "
        "'{{\"model\": \"{}\", \"messages\": [{{\"role\": \"user\", \"content\": "
        "\"Hello\"}}]}}'",
        url, authorization, model.name);
    console.note("Ctrl-C stops it.");
  }

  std::string model_;
  std::vector<std::string> aliases_;
  bool no_prefix_cache_ = false;
  int parallel_ = 16;
  ServerConfig config_;
  LoadFlags load_;
};

}  // namespace

std::unique_ptr<Command> make_serve_command() { return std::make_unique<ServeCommand>(); }

}  // namespace minke
