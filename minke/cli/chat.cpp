#include "minke/cli/chat_loop.h"
#include "minke/cli/command.h"
#include "minke/cli/sampling_flags.h"

namespace minke {
namespace {

class ChatCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", model_, Flags::Need::kRequired, kModelHelp);
    flags.add("system,s", settings_.system, "the system prompt");
    flags.add("hide-thinking", hide_thinking_, "do not show thoughts, only how long they took");
    flags.add("no-history", no_history_, "do not keep what is typed for the next chat");
    sampling_.add_to(flags);
    load_.add_to(flags);
    flags.example("minke chat smollm2-135m");
    flags.example("minke chat smollm2-135m --system \"Answer in one sentence.\" --temperature 0");
  }

  Result<void> run(const Console& console) override {
    MK_ASSIGN(const LoadedModel model, load_model_for(model_, load_, console));
    MK_ASSIGN(settings_.sampling, sampling_.for_model(model));
    settings_.stops = sampling_.stops;
    settings_.max_tokens = sampling_.max_tokens;
    settings_.show_thinking = !hide_thinking_;
    return chat_loop(console, model, settings_, !no_history_);
  }

 private:
  std::string model_;
  ChatSettings settings_;
  bool hide_thinking_ = false;
  bool no_history_ = false;
  SamplingFlags sampling_;
  LoadFlags load_;
};

}  // namespace

std::unique_ptr<Command> make_chat_command() { return std::make_unique<ChatCommand>(); }

}  // namespace minke
