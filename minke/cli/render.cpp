#include <functional>

#include "minke/base/files.h"
#include "minke/cli/command.h"
#include "minke/cli/template_source.h"
#include "minke/text/chat_template.h"

namespace minke {
namespace {

/// The JSON document in a file, or on the standard input for "-".
Result<Json> read_document(const Console& console, const std::string& path) {
  MK_ASSIGN(const std::string text, path == "-" ? read_stream(console.in) : read_file(path));
  Result<Json> json = parse_json(text);
  if (!json) {
    return fail(ErrorCode::kUsage, "{}: {}", path == "-" ? "standard input" : path,
                json.error().message);
  }
  return json;
}

/// Sets a variable from NAME=JSON.
Result<void> add_variable(Json& variables, const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    return fail(ErrorCode::kUsage,
                "--var is '{}', expected NAME=JSON such as enable_thinking=false", text);
  }
  Result<Json> value = parse_json(std::string_view(text).substr(equals + 1));
  if (!value) {
    return fail(ErrorCode::kUsage, "--var {}: {}; text needs quotes: --var '{}=\"text\"'",
                text.substr(0, equals), value.error().message, text.substr(0, equals));
  }
  variables.set(text.substr(0, equals), std::move(*value));
  return {};
}

class RenderCommand final : public Command {
 public:
  void add_flags(Flags& flags) override {
    flags.positional("MODEL", source_, Flags::Need::kRequired,
                     "a name from minke list, a .gguf file, a template (.jinja), a "
                     "tokenizer_config.json, or a folder with one of them");
    flags.add("messages,m", messages_,
              "JSON file with an array of messages, or an object with messages and maybe tools, "
              "documents, chat_template_kwargs; - reads the standard input");
    flags.require("messages");
    flags.add("tools", tools_, "JSON file with an array of tools; - reads the standard input");
    flags.add("no-generation-prompt", no_generation_prompt_,
              "end after the last message, without the start of the assistant's turn");
    flags.add("bos-token", bos_token_, "text of bos_token, in place of the model's");
    flags.add("eos-token", eos_token_, "text of eos_token, in place of the model's");
    flags.add("var", variables_, "a further variable as NAME=JSON, e.g. enable_thinking=false");
    flags.add("now", now_, {0, 1e11},
              "seconds since 1970 that strftime_now tells, in UTC; 0: the clock");
    flags.add("json", json_, "one JSON document, which also tells the bytes that came from users");
    flags.example("minke render smollm2-135m --messages chat.json");
    flags.example("minke render chat_template.jinja --messages - --bos-token '<s>' < chat.json");
    flags.example("minke render model.gguf -m chat.json --tools tools.json --var thinking=true");
    given_ = [&flags](std::string_view name) { return flags.given(name); };
  }

  Result<void> run(const Console& console) override {
    ChatInput input;
    MK_TRY(read_input(console, input));
    MK_ASSIGN(const TemplateSource source, find_template(source_, truth_of(input.tools)));
    const Result<ChatTemplate> parsed = ChatTemplate::parse(source.text);
    if (!parsed) return fail(parsed.error().code, "{}: {}", source_, parsed.error().message);
    input.bos_token = given_("bos-token") ? bos_token_ : source.bos_token;
    input.eos_token = given_("eos-token") ? eos_token_ : source.eos_token;
    add_missing(input.extra, source.other_tokens);
    const Result<MarkedText> rendered = parsed->render(input);
    if (!rendered) return fail(rendered.error().code, "{}: {}", source_, rendered.error().message);
    report(console, *rendered);
    return {};
  }

 private:
  static bool truth_of(const Json& tools) { return tools.is_array() && !tools.as_array().empty(); }

  /// What the flags say wins over what the template's source brings.
  static void add_missing(Json& variables, const Json& defaults) {
    if (!defaults.is_object()) return;
    for (const auto& [name, value] : defaults.as_object()) {
      if (variables.find(name) == nullptr) variables.set(name, value);
    }
  }

  Result<void> read_input(const Console& console, ChatInput& input) const {
    if (messages_ == "-" && tools_ == "-") {
      return fail(ErrorCode::kUsage, "--messages and --tools cannot both read standard input");
    }
    MK_ASSIGN(Json document, read_document(console, messages_));
    input.extra = Json::object();
    if (document.is_object()) {
      const Json* const messages = document.find("messages");
      if (messages == nullptr) {
        return fail(ErrorCode::kUsage, "{} is an object without messages", messages_);
      }
      input.messages = *messages;
      if (const Json* tools = document.find("tools")) input.tools = *tools;
      if (const Json* documents = document.find("documents")) {
        input.extra.set("documents", *documents);
      }
      const Json* const more = document.find("chat_template_kwargs");
      if (more != nullptr) add_missing(input.extra, *more);
    } else {
      input.messages = std::move(document);
    }
    if (!tools_.empty()) {
      MK_ASSIGN(input.tools, read_document(console, tools_));
    }
    for (const std::string& variable : variables_) MK_TRY(add_variable(input.extra, variable));
    input.add_generation_prompt = !no_generation_prompt_;
    if (now_ > 0) input.now_seconds = now_;
    return {};
  }

  void report(const Console& console, const MarkedText& rendered) const {
    if (!json_) {
      std::fwrite(rendered.text.data(), 1, rendered.text.size(), console.out);
      return;
    }
    Json::Array ranges;
    for (const TextRange& range : rendered.untrusted) {
      ranges.push_back(
          Json::array({static_cast<int64_t>(range.begin), static_cast<int64_t>(range.end)}));
    }
    console.print_json(
        Json::object({{"prompt", rendered.text}, {"untrusted_bytes", std::move(ranges)}}));
  }

  std::string source_;
  std::string messages_;
  std::string tools_;
  std::string bos_token_;
  std::string eos_token_;
  std::vector<std::string> variables_;
  int64_t now_ = 0;
  bool no_generation_prompt_ = false;
  bool json_ = false;
  std::function<bool(std::string_view)> given_;
};

}  // namespace

std::unique_ptr<Command> make_render_command() { return std::make_unique<RenderCommand>(); }

}  // namespace minke
