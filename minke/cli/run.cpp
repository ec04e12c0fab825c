#include <poll.h>

#include "minke/cli/chat_loop.h"
#include "minke/cli/command.h"
#include "minke/cli/sampling_flags.h"
#include "minke/text/reasoning_parser.h"

namespace minke {
namespace {

constexpr int kStdinPatienceMs = 2000;

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

// What is piped in. A pipe that stays silent is waited for, but not without a word.
Result<std::string> piped_input(const Console& console) {
  struct pollfd entry = {::fileno(console.in), POLLIN, 0};
  if (::poll(&entry, 1, kStdinPatienceMs) == 0) {
    console.note("waiting for the standard input to end (close it with < /dev/null)");
  }
  if (std::ferror(console.in) != 0 || (entry.revents & POLLNVAL) != 0) return std::string();
  MK_ASSIGN(std::string text, read_stream(console.in));
  while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
  return text;
}

class RunCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", model_, Flags::Need::kRequired, kModelHelp);
    flags.rest("PROMPT", words_, "what to ask; text on standard input is added after a blank line");
    flags.add("system,s", settings_.system, "the system prompt");
    flags.add("raw", raw_, "continue the prompt as a text, without the chat template");
    flags.add("show-thinking", settings_.show_thinking, "write the thought to standard error");
    flags.add("json", json_, "one JSON document instead of streamed text");
    sampling_.add_to(flags);
    load_.add_to(flags);
    flags.example("minke run smollm2-135m \"Why is the sky blue?\"");
    flags.example("cat notes.txt | minke run smollm2-135m \"Sum this up:\" --max-tokens 100");
    flags.example("minke run smollm2-135m --raw \"Once upon a time\" --temperature 0 --json");
  }

  RunCommand() { settings_.show_thinking = false; }

  Result<void> run(const Console& console) override {
    settings_.stops = sampling_.stops;
    settings_.max_tokens = sampling_.max_tokens;
    std::string prompt = joined(words_);
    if (!is_terminal(console.in)) {
      MK_ASSIGN(const std::string piped, piped_input(console));
      if (!piped.empty()) prompt += (prompt.empty() ? "" : "\n\n") + piped;
    }
    if (prompt.empty() && (json_ || raw_ || !is_terminal(console.in))) {
      return fail(ErrorCode::kUsage, "there is no prompt: give one, or text on standard input");
    }
    MK_ASSIGN(const LoadedModel model, load_model_for(model_, load_, console));
    MK_ASSIGN(settings_.sampling, sampling_.for_model(model));
    if (prompt.empty()) {
      settings_.show_thinking = true;
      return chat_loop(console, model, settings_, true);
    }
    return answer(console, model, prompt);
  }

 private:
  Result<std::vector<int32_t>> encode(const LoadedModel& model, const std::string& prompt,
                                      bool& opens_thought) const {
    if (raw_) {
      std::vector<int32_t> ids;
      if (model.tokenizer->add_bos() && model.tokenizer->bos()) ids = {*model.tokenizer->bos()};
      const std::vector<int32_t> text = model.tokenizer->encode(std::string_view(prompt));
      ids.insert(ids.end(), text.begin(), text.end());
      return ids;
    }
    Json::Array messages;
    const auto add = [&](const char* role, const std::string& content) {
      messages.push_back(Json::object({{"role", role}, {"content", content}}));
    };
    if (!settings_.system.empty()) add("system", settings_.system);
    add("user", prompt);
    std::string rendered;
    auto ids = model.encode_chat(Json(std::move(messages)), settings_.think, &rendered);
    opens_thought = ReasoningParser::opened_by(rendered);
    return ids;
  }

  Result<void> answer(const Console& console, const LoadedModel& model,
                      const std::string& prompt) const {
    bool opens_thought = false;
    TextRequest request;
    MK_ASSIGN(request.prompt, encode(model, prompt, opens_thought));
    request.max_tokens = settings_.max_tokens;
    request.sampling = settings_.sampling;
    request.stops = settings_.stops;
    EngineConfig config = model.engine_config;
    config.sequences_max = 1;
    MK_ASSIGN(const std::unique_ptr<Engine> engine, model.make_engine(config));
    const Interrupts interrupts;
    request.should_stop = [&] { return interrupts.count() > 0; };

    ReasoningParser parser(opens_thought);
    std::string thought;
    std::string text;
    const auto write = [&](const ReasoningPiece& piece) {
      thought += piece.reasoning;
      text += piece.content;
      if (json_) return;
      if (settings_.show_thinking)
        fmt::print(console.err, "{}", console.painted(piece.reasoning, "90"));
      fmt::print(console.out, "{}", piece.content);
      std::fflush(console.out);
    };
    const auto on_text = [&](std::string_view chunk) {
      write(raw_ ? ReasoningPiece{{}, std::string(chunk)} : parser.feed(chunk));
    };
    MK_ASSIGN(const TextResult result,
              generate_text(*engine, *model.tokenizer, std::move(request), on_text));
    if (!raw_) write(parser.flush());
    report(console, result, text, thought, engine->stats());
    if (result.finish == FinishReason::kCancelled) return fail(ErrorCode::kInterrupted, "");
    return {};
  }

  void report(const Console& console, const TextResult& result, const std::string& text,
              const std::string& thought, const EngineStats& stats) const {
    if (!json_) {
      fmt::print(console.out, "\n");
      std::fflush(console.out);
      console.note("{}{}", is_terminal(console.err) ? "\n" : "",
                   console.painted(speed_text(result), "90"));
      return;
    }
    const auto num_tokens = static_cast<int64_t>(result.token_ids.size());
    Json document = Json::object(
        {{"text", text},
         {"token_ids", Json(Json::Array(result.token_ids.begin(), result.token_ids.end()))},
         {"prompt_tokens", result.prompt_tokens},
         {"completion_tokens", num_tokens},
         {"seconds", result.seconds},
         {"tokens_per_second",
          result.seconds > 0 ? static_cast<double>(num_tokens) / result.seconds : 0.0},
         {"finish_reason", finish_name(result.finish)},
         {"first_token_seconds", result.first_token_seconds},
         {"prefill_tokens_per_second", result.prefill_tokens_per_second()},
         {"decode_tokens_per_second", result.decode_tokens_per_second()},
         {"drafted_tokens", stats.drafted_tokens},
         {"accepted_tokens", stats.accepted_tokens},
         {"mtp_drafted_tokens", stats.mtp_drafted_tokens},
         {"mtp_accepted_tokens", stats.mtp_accepted_tokens},
         {"seed", settings_.sampling.seed}});
    if (!thought.empty()) document.set("thought", thought);
    console.print_json(document);
  }

  std::string model_;
  std::vector<std::string> words_;
  ChatSettings settings_;
  bool raw_ = false;
  bool json_ = false;
  SamplingFlags sampling_;
  LoadFlags load_;
};

}  // namespace

std::unique_ptr<Command> make_run_command() { return std::make_unique<RunCommand>(); }

}  // namespace minke
