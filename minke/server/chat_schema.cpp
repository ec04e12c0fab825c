#include "minke/server/chat_schema.h"

namespace minke {
namespace {

// Content as a string, or the text parts of an array joined.
ApiResult<std::string> read_content(const Json& content, const std::string& path) {
  if (content.is_string()) return content.as_string();
  if (!content.is_array()) {
    return tl::unexpected(
        field_error(path, fmt::format("{} is {}, expected a string or an array of text parts", path,
                                      content.is_null() ? "null or missing" : content.kind())));
  }
  std::string joined;
  for (size_t i = 0; i < content.as_array().size(); ++i) {
    const Json& part = content.as_array()[i];
    const std::string part_path = fmt::format("{}[{}]", path, i);
    const Json* type = part.find("type");
    const Json* text = part.find("text");
    if (type == nullptr || !type->is_string() || type->as_string() != "text") {
      return tl::unexpected(field_error(
          part_path + ".type",
          fmt::format("{}.type is {}, expected \"text\": this model reads text only", part_path,
                      type != nullptr && type->is_string() ? type->dump().substr(0, 60)
                                                           : "missing or no string")));
    }
    if (text == nullptr || !text->is_string()) {
      return tl::unexpected(field_error(part_path + ".text",
                                        fmt::format("{}.text is {}, expected a string", part_path,
                                                    text == nullptr ? "missing" : text->kind())));
    }
    joined += text->as_string();
  }
  return joined;
}

ApiResult<Json> read_message(const Json& message, size_t index) {
  const std::string path = fmt::format("messages[{}]", index);
  if (!message.is_object()) {
    return tl::unexpected(field_error(
        path,
        fmt::format("{} is {}, expected an object with role and content", path, message.kind())));
  }
  Fields fields(message, path);
  std::string role;
  std::string name;
  fields.text("role", role);
  fields.text("name", name);
  if (fields.error()) return tl::unexpected(*fields.error());
  if (role == "developer") role = "system";  // OpenAI's newer name for it
  if (role != "system" && role != "user" && role != "assistant") {
    return tl::unexpected(
        field_error(path + ".role",
                    fmt::format("{}.role is {}, expected system, developer, user or assistant",
                                path, role.empty() ? "missing" : Json(role.substr(0, 40)).dump())));
  }
  if (const Json* calls = fields.find("tool_calls");
      calls != nullptr && !(calls->is_array() && calls->as_array().empty())) {
    return tl::unexpected(
        field_error(path + ".tool_calls", "tool calls are not supported by this version"));
  }
  const Json* content = fields.find("content");
  // OpenAI allows an assistant's turn without content.
  const Json missing = role == "assistant" ? Json("") : Json();
  auto text = read_content(content == nullptr ? missing : *content, path + ".content");
  if (!text) return tl::unexpected(text.error());
  Json out = Json::object({{"role", role}, {"content", *text}});
  if (!name.empty()) out.set("name", name);
  return out;
}

ApiResult<Json> read_messages(const Json* messages) {
  if (messages == nullptr || !messages->is_array() || messages->as_array().empty()) {
    return tl::unexpected(field_error(
        "messages", fmt::format("messages is {}, expected an array of at least one message",
                                messages == nullptr    ? "missing"
                                : messages->is_array() ? "empty"
                                                       : messages->kind())));
  }
  const Json::Array& items = messages->as_array();
  if (items.size() > kMessagesMax) {
    return tl::unexpected(field_error(
        "messages", fmt::format("{} messages, expected at most {}", items.size(), kMessagesMax)));
  }
  Json::Array out;
  for (size_t i = 0; i < items.size(); ++i) {
    auto message = read_message(items[i], i);
    if (!message) return tl::unexpected(message.error());
    out.push_back(std::move(*message));
  }
  return Json(std::move(out));
}

void refuse_unsupported(Fields& fields) {
  for (const char* name : {"tools", "functions"}) {
    const Json* tools = fields.find(name);
    if (tools == nullptr) continue;
    if (!tools->is_array()) return fields.fail_kind(name, *tools, "an array");
    if (!tools->as_array().empty()) {
      return fields.fail(name, "tools are not supported by this version; leave them out");
    }
  }
  if (const Json* choice = fields.find("tool_choice"); choice != nullptr) {
    const bool none =
        choice->is_string() && (choice->as_string() == "none" || choice->as_string() == "auto");
    if (!none) return fields.fail("tool_choice", "tool_choice needs tools; expected none or auto");
  }
  const Json* format = fields.find("response_format");
  if (format == nullptr) return;
  const Json* type = format->find("type");
  if (type == nullptr || !type->is_string()) {
    return fields.fail_kind("response_format", *format, "an object with the string type");
  }
  if (type->as_string() != "text") {
    fields.fail("response_format",
                fmt::format("response_format.type is {}, expected \"text\": JSON output is not "
                            "supported by this version",
                            type->dump().substr(0, 60)));
  }
}

}  // namespace

ApiResult<ChatRequest> read_chat_request(const Json& body, const GenerationContext& context) {
  ChatRequest out;
  Fields fields(body);
  out.generation = read_generation_fields(fields, context);
  bool logprobs = false;
  int64_t top_logprobs = 0;
  fields.boolean("logprobs", logprobs);
  fields.integer("top_logprobs", top_logprobs, 0, kTopLogprobsMax);
  if (fields.find("top_logprobs") != nullptr && !logprobs) {
    fields.fail("top_logprobs", "top_logprobs needs logprobs to be true");
  }
  refuse_unsupported(fields);
  if (fields.error()) return tl::unexpected(*fields.error());
  if (logprobs) out.top_logprobs = static_cast<int>(top_logprobs);
  auto messages = read_messages(fields.find("messages"));
  if (!messages) return tl::unexpected(messages.error());
  out.messages = std::move(*messages);
  return out;
}

}  // namespace minke
