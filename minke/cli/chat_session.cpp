#include "minke/cli/chat_session.h"

#include "minke/base/clock.h"
#include "minke/base/files.h"
#include "minke/text/reasoning_parser.h"

namespace minke {
namespace {

constexpr const char* kGrey = "90";

// Writes a reply while it comes: the answer to standard output, the thought in grey to standard
// error, with its time at the end.
class ReplyWriter {
 public:
  ReplyWriter(const Console& console, bool show_thinking, bool inside)
      : console_(&console), show_thinking_(show_thinking), parser_(inside) {
    if (inside) thought_start_ = seconds_now();
  }

  void feed(std::string_view text) { write(parser_.feed(text)); }
  void finish() {
    write(parser_.flush());
    end_thought();
    fmt::print(console_->out, "\n");
    std::fflush(console_->out);
  }
  const std::string& answer() const { return answer_; }

 private:
  void write(const ReasoningPiece& piece) {
    if (parser_.in_reasoning() && !thought_start_) thought_start_ = seconds_now();
    if (!piece.reasoning.empty()) {
      has_thought_ = true;
      if (show_thinking_)
        fmt::print(console_->err, "{}", console_->painted(piece.reasoning, kGrey));
      std::fflush(console_->err);
    }
    if (piece.content.empty()) return;
    end_thought();
    answer_ += piece.content;
    fmt::print(console_->out, "{}", piece.content);
    std::fflush(console_->out);
  }
  void end_thought() {
    if (!has_thought_ || told_) return;
    told_ = true;
    const std::string line = fmt::format("(thought for {:.1f} s)",
                                         seconds_now() - thought_start_.value_or(seconds_now()));
    fmt::print(console_->err, "{}{}\n\n", show_thinking_ ? "\n" : "",
               console_->painted(line, kGrey));
  }

  const Console* console_;
  bool show_thinking_;
  ReasoningParser parser_;
  std::optional<double> thought_start_;
  bool has_thought_ = false;
  bool told_ = false;
  std::string answer_;
};

Json message_of(const char* role, const std::string& content) {
  return Json::object({{"role", role}, {"content", content}});
}

Result<std::vector<Json>> parse_messages(const Json& document) {
  const Json* messages = document.find("messages");
  if (messages == nullptr || !messages->is_array()) {
    return fail(ErrorCode::kCorrupt, "there is no array 'messages'");
  }
  std::vector<Json> out;
  for (const Json& message : messages->as_array()) {
    const Json* role = message.find("role");
    const Json* content = message.find("content");
    const bool is_good = role != nullptr && content != nullptr && role->is_string() &&
                         content->is_string() &&
                         role->as_string() == (out.size() % 2 == 0 ? "user" : "assistant");
    if (!is_good) {
      return fail(ErrorCode::kCorrupt, "message {} is not of user and assistant in turn",
                  out.size() + 1);
    }
    out.push_back(message);
  }
  return out;
}

}  // namespace

ChatSession::ChatSession(const Console& console, ChatModel model, ChatSettings settings)
    : console_(&console), model_(std::move(model)), settings_(std::move(settings)) {}

ChatPrompt ChatSession::prompt() const {
  Json::Array messages;
  if (!settings_.system.empty()) messages.push_back(message_of("system", settings_.system));
  messages.insert(messages.end(), messages_.begin(), messages_.end());
  return {Json(std::move(messages)), settings_.think};
}

Result<void> ChatSession::say(const std::string& message) {
  const std::string content =
      attached_.empty() ? message : attached_ + (message.empty() ? "" : "\n\n" + message);
  messages_.push_back(message_of("user", content));
  const Result<void> replied = reply();
  if (!replied) {
    messages_.pop_back();
    return replied;
  }
  attached_.clear();
  return {};
}

Result<void> ChatSession::reply() {
  const ChatPrompt asked = prompt();
  ChatSettings settings = settings_;
  settings.sampling.seed += num_replies_++;
  ReplyWriter writer(*console_, settings.show_thinking,
                     model_.opens_thought && model_.opens_thought(asked));
  Result<TextResult> result =
      model_.reply(asked, settings, [&](std::string_view text) { writer.feed(text); });
  if (!result) return pass_on(result);
  writer.finish();
  // As DeepSeek and Qwen want it, a thought is not part of the conversation that follows.
  messages_.push_back(message_of("assistant", writer.answer()));
  tell_end(*result);
  last_ = std::move(*result);
  return {};
}

void ChatSession::tell_end(const TextResult& result) const {
  if (result.finish == FinishReason::kLength) {
    console_->note("{}", console_->painted("(cut: the limit of tokens was reached)", kGrey));
  }
  if (result.finish == FinishReason::kCancelled) {
    console_->note("{}", console_->painted("(stopped)", kGrey));
  }
  console_->note("{}", console_->painted(speed_text(result), kGrey));
}

Result<void> ChatSession::regenerate() {
  if (messages_.empty()) return fail(ErrorCode::kUsage, "there is nothing to answer yet");
  const Json old_reply = messages_.back();
  messages_.pop_back();
  const Result<void> replied = reply();
  if (!replied) messages_.push_back(old_reply);
  return replied;
}

Result<void> ChatSession::undo() {
  if (messages_.empty()) return fail(ErrorCode::kUsage, "there is nothing to take back");
  messages_.resize(messages_.size() - 2);  // a message and its reply
  return {};
}

void ChatSession::clear() {
  messages_.clear();
  attached_.clear();
}

Result<void> ChatSession::attach(const std::string& path) {
  constexpr size_t kFileMax = 4 << 20;
  MK_ASSIGN(const std::string text, read_file(path, kFileMax));
  if (!attached_.empty()) attached_ += "\n\n";
  attached_ += fmt::format("{}:\n{}", std::filesystem::path(path).filename().string(), text);
  return {};
}

Result<void> ChatSession::save(const std::string& path) const {
  const Json document =
      Json::object({{"system", settings_.system}, {"messages", Json(Json::Array(messages_))}});
  return write_file_atomic(path, document.dump(2) + "\n");
}

Result<void> ChatSession::load(const std::string& path) {
  MK_ASSIGN(const std::string text, read_file(path));
  const auto bad = [&](const Error& error) {
    return fail(ErrorCode::kCorrupt, "{} is no saved chat: {}", path, error.message);
  };
  const Result<Json> document = parse_json(text);
  if (!document) return bad(document.error());
  Result<std::vector<Json>> messages = parse_messages(*document);
  if (!messages) return bad(messages.error());
  if (messages->size() % 2 != 0) messages->pop_back();  // a message without its reply
  messages_ = std::move(*messages);
  if (const Json* system = document->find("system"); system != nullptr && system->is_string()) {
    settings_.system = system->as_string();
  }
  return {};
}

Result<int64_t> ChatSession::count_tokens() const { return model_.count(prompt()); }

}  // namespace minke
