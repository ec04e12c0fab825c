#include "minke/text/chat_template.h"

#include "minke/base/clock.h"
#include "minke/text/jinja_interpreter.h"
#include "minke/text/jinja_parser.h"

namespace minke {

ChatTemplate::ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

Result<ChatTemplate> ChatTemplate::parse(std::string source) {
  ChatTemplate result;
  MK_ASSIGN(result.template_, jinja::parse_template(source));
  result.source_ = std::move(source);
  return result;
}

Result<MarkedText> ChatTemplate::render(const ChatInput& input, const ChatLimits& limits) const {
  if (!input.messages.is_array()) {
    return fail(ErrorCode::kUsage, "messages must be an array, found {}", input.messages.kind());
  }
  if (!input.extra.is_null() && !input.extra.is_object()) {
    return fail(ErrorCode::kUsage, "extra template variables must be an object, found {}",
                input.extra.kind());
  }
  jinja::Interpreter run(*template_, limits, input.now_seconds.value_or(unix_seconds()));
  jinja::Heap& heap = run.heap();
  run.define("messages", heap.from_json(input.messages, false));
  run.define("tools", heap.from_json(input.tools, false));
  run.define("documents", jinja::Value::none());
  run.define("add_generation_prompt", jinja::Value::of_bool(input.add_generation_prompt));
  if (input.bos_token) run.define("bos_token", heap.view(*input.bos_token, false));
  if (input.eos_token) run.define("eos_token", heap.view(*input.eos_token, false));
  if (input.extra.is_object()) {
    for (const auto& [name, value] : input.extra.as_object()) {
      run.define(name, heap.from_json(value, false));
    }
  }
  return run.run();
}

}  // namespace minke
