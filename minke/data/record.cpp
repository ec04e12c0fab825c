#include "minke/data/record.h"

#include <algorithm>

#include "minke/base/utf8.h"

namespace minke {
namespace {

constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                    "tool"};

struct Role {
  std::string_view from;
  std::string_view role;
};
// What ShareGPT's files call the roles.
constexpr std::array<Role, 10> kShareGptRoles = {{{"human", "user"},
                                                  {"user", "user"},
                                                  {"gpt", "assistant"},
                                                  {"assistant", "assistant"},
                                                  {"chatgpt", "assistant"},
                                                  {"bing", "assistant"},
                                                  {"bard", "assistant"},
                                                  {"system", "system"},
                                                  {"tool", "tool"},
                                                  {"observation", "tool"}}};

template <class... Args>
tl::unexpected<Error> corrupt(fmt::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::kCorrupt, format, std::forward<Args>(args)...);
}

std::string short_json(const Json& value) {
  constexpr size_t kShown = 60;
  return printable_name(value.dump().substr(0, kShown));
}

Result<std::string> text_of(const Json& object, std::string_view key) {
  const Json* const member = object.find(key);
  if (member == nullptr) return corrupt("\"{}\" is missing", key);
  if (!member->is_string()) {
    return corrupt("\"{}\" is {} ({}), expected a string", key, member->kind(),
                   short_json(*member));
  }
  if (member->as_string().empty()) return corrupt("\"{}\" is empty", key);
  return member->as_string();
}

Result<void> check_message(const Json& message, size_t number) {
  if (!message.is_object()) {
    return corrupt("message {} is {}, expected an object with role and content", number,
                   message.kind());
  }
  const Json* const role = message.find("role");
  const bool known = role != nullptr && role->is_string() &&
                     std::ranges::find(kRoles, role->as_string()) != kRoles.end();
  if (!known) {
    return corrupt("message {} has role {}, expected system, developer, user, assistant or tool",
                   number, role != nullptr ? short_json(*role) : "(none)");
  }
  const Json* const content = message.find("content");
  const bool has_content = content != nullptr && content->is_string();
  const bool calls_tools = message.find("tool_calls") != nullptr;
  if (!has_content && !(calls_tools && (content == nullptr || content->is_null()))) {
    return corrupt("message {} ({}) has content {}, expected a string", number, role->as_string(),
                   content != nullptr ? short_json(*content) : "(none)");
  }
  return {};
}

bool is_of_assistant(const Json& message) { return *message.find("role") == Json("assistant"); }

Result<Words> words_of(const Json& object, std::string_view key) {
  const Json* const member = object.find(key);
  if (member == nullptr || !member->is_array()) {
    MK_ASSIGN(std::string text, text_of(object, key));
    return Json(std::move(text));
  }
  if (member->as_array().empty()) return corrupt("\"{}\" is an empty array of messages", key);
  size_t number = 0;
  for (const Json& message : member->as_array()) MK_TRY(check_message(message, ++number));
  return *member;
}

// An answer in messages: one of them must be the assistant's.
Result<Words> answer_of(const Json& object, std::string_view key) {
  MK_ASSIGN(Words words, words_of(object, key));
  if (words.is_array() && std::ranges::none_of(words.as_array(), is_of_assistant)) {
    return corrupt("\"{}\" has no message of the assistant to learn from", key);
  }
  return words;
}

Result<void> check_same_form(const Record& record) {
  const bool is_text = record.answers.front().is_string();
  for (const Words& words : record.answers) {
    if (words.is_string() != is_text) return corrupt("one answer is a text, the other messages");
  }
  // A prompt in messages with an answer in plain words is a conversation, the other way is none.
  if (record.prompt.is_string() && !is_text) {
    return corrupt("the prompt is a text and the answer messages, expected both alike");
  }
  return {};
}

Result<Record> parse_alpaca(const Json& object) {
  Record record{.format = RecordFormat::kAlpaca, .prompt = {}, .answers = {}, .tools = {}};
  MK_ASSIGN(std::string prompt, text_of(object, "instruction"));
  if (const Json* const input = object.find("input"); input != nullptr && !input->is_null()) {
    if (!input->is_string()) {
      return corrupt("\"input\" is {}, expected a string", input->kind());
    }
    if (!input->as_string().empty()) prompt += "\n\n" + input->as_string();
  }
  MK_ASSIGN(std::string output, text_of(object, "output"));
  record.prompt = Json(std::move(prompt));
  record.answers.emplace_back(std::move(output));
  return record;
}

Result<Record> parse_share_gpt(const Json& object) {
  const Json* const turns = object.find("conversations");
  if (turns == nullptr || !turns->is_array() || turns->as_array().empty()) {
    return corrupt("\"conversations\" is {}, expected an array of turns",
                   turns != nullptr ? short_json(*turns) : "missing");
  }
  Json messages = Json::array();
  for (const Json& turn : turns->as_array()) {
    const size_t number = messages.as_array().size() + 1;
    const Json* const from = turn.find("from");
    const auto row = std::ranges::find_if(
        kShareGptRoles, [&](const Role& known) { return from && *from == Json(known.from); });
    if (row == kShareGptRoles.end()) {
      return corrupt("turn {} is from {}, expected human, gpt, system or tool", number,
                     from != nullptr ? short_json(*from) : "(nobody)");
    }
    const Json* const value = turn.find("value");
    if (value == nullptr || !value->is_string()) {
      return corrupt("turn {} has value {}, expected a string", number,
                     value != nullptr ? short_json(*value) : "(none)");
    }
    messages.push(Json::object({{"role", row->role}, {"content", *value}}));
  }
  return parse_record(Json::object({{"messages", std::move(messages)}}), RecordFormat::kMessages,
                      {});
}

}  // namespace

Result<RecordFormat> detect_format(const Json& object, const RecordKeys& keys) {
  if (!object.is_object()) return corrupt("{}, expected an object", object.kind());
  const auto has = [&](std::string_view key) { return object.find(key) != nullptr; };
  if (has("chosen") && has("rejected")) return RecordFormat::kPairs;
  if (has("messages")) return RecordFormat::kMessages;
  if (has("conversations")) return RecordFormat::kShareGpt;
  if (has(keys.prompt) && has(keys.completion)) return RecordFormat::kPrompt;
  if (has("instruction") && has("output")) return RecordFormat::kAlpaca;
  if (has(keys.text)) return RecordFormat::kText;
  std::string found;
  for (const auto& [key, value] : object.as_object()) {
    found += (found.empty() ? "" : ", ") + printable_name(key);
  }
  return corrupt(
      "has the keys {}, expected {}; messages; conversations; {} and {}; instruction and output; "
      "or chosen and rejected (other names: --text-key, --prompt-key, --completion-key)",
      found.empty() ? "(none)" : found, keys.text, keys.prompt, keys.completion);
}

Result<Record> parse_record(const Json& object, RecordFormat format, const RecordKeys& keys) {
  if (!object.is_object()) return corrupt("{}, expected an object", object.kind());
  Record record{.format = format, .prompt = {}, .answers = {}, .tools = {}};
  switch (format) {
    case RecordFormat::kText: {
      MK_ASSIGN(std::string text, text_of(object, keys.text));
      record.answers.emplace_back(std::move(text));
      return record;
    }
    case RecordFormat::kAlpaca:
      return parse_alpaca(object);
    case RecordFormat::kShareGpt:
      return parse_share_gpt(object);
    case RecordFormat::kMessages: {
      MK_ASSIGN(Words messages, answer_of(object, "messages"));
      if (!messages.is_array()) return corrupt("\"messages\" is a string, expected an array");
      record.answers.push_back(std::move(messages));
      if (const Json* const tools = object.find("tools")) record.tools = *tools;
      return record;
    }
    case RecordFormat::kPrompt: {
      MK_ASSIGN(record.prompt, words_of(object, keys.prompt));
      MK_ASSIGN(Words completion, answer_of(object, keys.completion));
      record.answers.push_back(std::move(completion));
      MK_TRY(check_same_form(record));
      return record;
    }
    case RecordFormat::kPairs: {
      if (object.find(keys.prompt) != nullptr) {
        MK_ASSIGN(record.prompt, words_of(object, keys.prompt));
      }
      for (const char* const key : {"chosen", "rejected"}) {
        MK_ASSIGN(Words answer, answer_of(object, key));
        record.answers.push_back(std::move(answer));
      }
      MK_TRY(check_same_form(record));
      return record;
    }
  }
  return corrupt("of no known format");
}

}  // namespace minke
