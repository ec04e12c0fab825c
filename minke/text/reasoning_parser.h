#pragma once
#include <string>
#include <string_view>

namespace minke {

/// What one step of a reasoning model's reply gave.
struct ReasoningPiece {
  std::string reasoning;
  std::string content;
};

/// Splits a reply "<think>thought</think>answer" into thought and answer while it comes. Only a tag
/// at the reply's start (after white space) opens a thought. White space around the thought and
/// before the answer that follows it is dropped. Text that may still become a tag waits, so the
/// result does not depend on how the reply falls into pieces.
class ReasoningParser {
 public:
  static constexpr std::string_view kOpen = "<think>";
  static constexpr std::string_view kClose = "</think>";

  /// `open`: the prompt itself ended with the opening tag, so the reply starts inside the thought.
  explicit ReasoningParser(bool open) : state_(open ? State::kThought : State::kStart) {}

  /// Whether a rendered prompt ends with the opening tag (then white space at most).
  static bool opened_by(std::string_view prompt);

  ReasoningPiece feed(std::string_view text);
  /// Ends the reply: gives what was held back.
  ReasoningPiece flush();
  bool in_reasoning() const { return state_ == State::kThought; }

 private:
  enum class State { kStart, kThought, kGap, kContent };
  void read_start(ReasoningPiece& piece);
  void read_thought(ReasoningPiece& piece);

  State state_;
  bool thought_begun_ = false;
  std::string held_;
};

}  // namespace minke
