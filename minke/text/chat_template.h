#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "minke/base/json.h"
#include "minke/base/result.h"
#include "minke/text/marked_text.h"

namespace minke {

namespace jinja {
struct Template;
}

/// What a chat template is rendered with; the names are those that templates use.
struct ChatInput {
  Json messages;  ///< array of objects: role, content, maybe tool_calls, reasoning_content, ...
  Json tools;     ///< array of tool definitions, or null
  bool add_generation_prompt = true;
  /// The model's own text, trusted; undefined in the template when empty.
  std::optional<std::string> bos_token;
  std::optional<std::string> eos_token;
  Json extra;  ///< object of further variables (enable_thinking, ...), untrusted; or null
  /// Unix seconds, UTC, that strftime_now() shows; the clock when empty.
  std::optional<int64_t> now_seconds;
};

/// What one rendering may use. A template that wants more fails with an Error. The defaults are
/// above what published templates need for a million tokens (4 MB of text), and small enough that
/// no template takes 256 MB of this process or more than about a second: a step is some 10 to 30
/// ns, and what the run holds may be twice what is counted while strings and lists grow.
struct ChatLimits {
  int64_t steps_max = 20'000'000;         ///< evaluated nodes, loop turns, bytes looked at / 4
  int64_t depth_max = 400;                ///< nested statements, expressions and calls
  int64_t output_bytes_max = 32ll << 20;  ///< of the rendered text
  int64_t memory_bytes_max = 64ll << 20;  ///< of all strings, lists and dicts of the run
};

/// A parsed chat template: Jinja as transformers runs it (jinja2's ImmutableSandboxedEnvironment
/// with trim_blocks, lstrip_blocks, loop controls, its `tojson`, raise_exception, strftime_now),
/// by an interpreter of our own that is safe against hostile templates.
///
/// Immutable after parse(): render() may run in many threads at once. Movable, not copyable.
class ChatTemplate {
 public:
  /// Parses `source`. Error kCorrupt: syntax, with the line; or larger than 512 KiB, or too deep.
  static Result<ChatTemplate> parse(std::string source);

  /// Renders a conversation. All text that came from messages, tools and extra is in `untrusted`
  /// of the result, whatever the template did to it, so that the tokenizer never reads a control
  /// token there; only the template's own literals and the bos/eos tokens are trusted.
  /// Error kUsage: raise_exception() or a value the template cannot handle; kWillNotFit: over a
  /// limit. Messages hold the template's line.
  Result<MarkedText> render(const ChatInput& input, const ChatLimits& limits = {}) const;

  const std::string& source() const { return source_; }

  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;
  ~ChatTemplate();

 private:
  ChatTemplate();
  std::string source_;
  std::unique_ptr<const jinja::Template> template_;
};

}  // namespace minke
