#pragma once
#include <string>
#include <string_view>

namespace minke {

/// Parts a streamed reply into thought and answer: text between <think> at the very start of the
/// reply and the next </think> is thought. Text that may still become a tag is held back. Works on
/// any cut of the stream, and gives the same parts for each.
class ThoughtSplitter {
 public:
  struct Parts {
    std::string thought;
    std::string answer;
  };
  /// `inside`: the prompt ended with the opening tag, so the reply begins with thought.
  explicit ThoughtSplitter(bool inside = false)
      : state_(inside ? State::kThought : State::kStart) {}

  Parts feed(std::string_view text);
  /// Ends the stream: what was held back.
  Parts flush();
  bool in_thought() const { return state_ == State::kThought; }

 private:
  enum class State { kStart, kThought, kGap, kAnswer };
  void step(Parts& parts);

  State state_;
  std::string held_;
};

/// True when a rendered prompt ends inside a thought: its last word is <think>.
bool ends_in_thought(std::string_view prompt);

}  // namespace minke
