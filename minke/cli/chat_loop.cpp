#include "minke/cli/chat_loop.h"

#include "minke/base/files.h"
#include "minke/cli/line_input.h"
#include "minke/text/reasoning_parser.h"

namespace minke {
namespace {

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \t\r\n") == std::string::npos;
}

// One line of the loop: true when the chat is over.
Result<bool> take_line(ChatSession& session, const std::string& message) {
  if (is_blank(message)) return false;
  if (message.starts_with("/")) return run_chat_command(session, message);
  MK_TRY(session.say(message));
  return false;
}

}  // namespace

ChatModel chat_model_of(const LoadedModel& model, Engine& engine, const Interrupts& interrupts) {
  ChatModel out;
  out.context_tokens = engine.config().context_tokens;
  out.reply = [&model, &engine, &interrupts](
                  const ChatPrompt& prompt, const ChatSettings& settings,
                  const std::function<void(std::string_view)>& on_text) -> Result<TextResult> {
    TextRequest request;
    MK_ASSIGN(request.prompt, model.encode_chat(prompt.messages, prompt.think));
    request.max_tokens = settings.max_tokens;
    request.sampling = settings.sampling;
    request.stops = settings.stops;
    request.should_stop = [&interrupts] { return interrupts.count() > 0; };
    return generate_text(engine, *model.tokenizer, std::move(request), on_text);
  };
  out.count = [&model](const ChatPrompt& prompt) -> Result<int64_t> {
    MK_ASSIGN(const std::vector<int32_t> ids, model.encode_chat(prompt.messages, prompt.think));
    return static_cast<int64_t>(ids.size());
  };
  out.opens_thought = [&model](const ChatPrompt& prompt) {
    std::string text;
    return model.encode_chat(prompt.messages, prompt.think, &text) &&
           ReasoningParser::opened_by(text);
  };
  return out;
}

Result<void> run_chat(ChatSession& session, Interrupts& interrupts,
                      const std::filesystem::path& history) {
  const Console& console = session.console();
  LineInput input(console, history);
  bool leaving = false;  // Ctrl-C was pressed on an empty line just before
  while (true) {
    interrupts.clear();
    std::string message;
    const LineInput::Got got = input.read_message(">>> ", message);
    if (got == LineInput::Got::kEnd) return {};
    if (interrupts.terminated()) return fail(ErrorCode::kInterrupted, "terminated");
    if (got == LineInput::Got::kInterrupted) {
      if (leaving) return fail(ErrorCode::kInterrupted, "");
      leaving = true;
      console.note("\n(Ctrl-C again, or /exit, to leave)");
      continue;
    }
    leaving = false;
    interrupts.clear();
    const Result<bool> done = take_line(session, message);
    if (done && *done) return {};
    if (interrupts.terminated()) return fail(ErrorCode::kInterrupted, "terminated");
    if (done) continue;
    Error error = done.error();
    if (error.code == ErrorCode::kWillNotFit) error.message += "; /undo, /clear, or a larger --ctx";
    if (!input.on_terminal()) return tl::unexpected<Error>(error);
    fmt::print(console.err, "{}\n", error.message);
  }
}

Result<void> chat_loop(const Console& console, const LoadedModel& model, ChatSettings settings,
                       bool keep_history) {
  EngineConfig config = model.engine_config;
  config.sequences_max = 1;
  MK_ASSIGN(const std::unique_ptr<Engine> engine, model.make_engine(config));
  Interrupts interrupts;
  ChatSession session(console, chat_model_of(model, *engine, interrupts), std::move(settings));
  console.note("{} ({}, context {}), loaded in {:.2f} s. /help shows what you can do.", model.name,
               model.precision, config.context_tokens, model.load_seconds);
  return run_chat(
      session, interrupts,
      keep_history ? folders_from_environment().state / "chat_history" : std::filesystem::path());
}

}  // namespace minke
