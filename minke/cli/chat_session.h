#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/cli/console.h"
#include "minke/cli/generation.h"

namespace minke {

/// What the user may change while talking.
struct ChatSettings {
  std::string system;
  SamplingParams sampling;
  int max_tokens = 0;  ///< of a reply; 0: up to the context's end
  std::vector<std::string> stops;
  bool show_thinking = true;
  std::optional<bool> think;  ///< asks the template for thinking or not, where it knows the word
};

/// A conversation as the chat template wants it.
struct ChatPrompt {
  Json messages;
  std::optional<bool> think;
};

/// What a session needs of a model. `reply` streams the text with its <think> tags; `count` gives
/// the tokens that the conversation takes; `opens_thought` tells whether the template begins the
/// reply with a thought.
struct ChatModel {
  std::function<Result<TextResult>(const ChatPrompt& prompt, const ChatSettings& settings,
                                   const std::function<void(std::string_view)>& on_text)>
      reply;
  std::function<Result<int64_t>(const ChatPrompt& prompt)> count;
  std::function<bool(const ChatPrompt& prompt)> opens_thought;
  int context_tokens = 0;
};

/// A conversation in a terminal: messages, settings, and what the last reply cost. Replies go to
/// console.out, thoughts (grey) and notes to console.err.
class ChatSession {
 public:
  ChatSession(const Console& console, ChatModel model, ChatSettings settings);

  /// Sends a message and streams the reply. An interrupted reply is kept as far as it came. On an
  /// error the message is taken back, so that the conversation stays as it was.
  Result<void> say(const std::string& message);
  /// Answers the last message anew. kUsage when there is none.
  Result<void> regenerate();
  /// Takes the last message and its reply back. kUsage when there is none.
  Result<void> undo();
  void clear();

  /// Puts the text of a file before the next message.
  Result<void> attach(const std::string& path);
  Result<void> save(const std::string& path) const;
  Result<void> load(const std::string& path);
  /// Tokens that the conversation takes so far.
  Result<int64_t> count_tokens() const;

  ChatSettings& settings() { return settings_; }
  const Console& console() const { return *console_; }
  const std::optional<TextResult>& last() const { return last_; }
  int context_tokens() const { return model_.context_tokens; }
  const std::vector<Json>& messages() const { return messages_; }

 private:
  ChatPrompt prompt() const;
  Result<void> reply();
  void tell_end(const TextResult& result) const;

  const Console* console_;
  ChatModel model_;
  ChatSettings settings_;
  std::vector<Json> messages_;  // user and assistant in turn; the system prompt is a setting
  std::string attached_;
  std::optional<TextResult> last_;
  uint64_t num_replies_ = 0;  // each reply has a seed of its own
};

/// Runs a line that starts with a slash. Gives true when it ends the chat; kUsage for an unknown
/// command, with the nearest one.
Result<bool> run_chat_command(ChatSession& session, const std::string& line);

}  // namespace minke
