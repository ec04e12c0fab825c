#include "minke/cli/thought_splitter.h"

#include <algorithm>

namespace minke {
namespace {

constexpr std::string_view kOpen = "<think>";
constexpr std::string_view kClose = "</think>";
constexpr std::string_view kBlank = " \t\r\n";

// How many bytes at the end of `text` could be the beginning of `tag`.
size_t partial_tag(std::string_view text, std::string_view tag) {
  for (size_t size = std::min(text.size(), tag.size() - 1); size > 0; --size) {
    if (text.ends_with(tag.substr(0, size))) return size;
  }
  return 0;
}

}  // namespace

ThoughtSplitter::Parts ThoughtSplitter::feed(std::string_view text) {
  held_ += text;
  Parts parts;
  step(parts);
  return parts;
}

ThoughtSplitter::Parts ThoughtSplitter::flush() {
  Parts parts;
  (state_ == State::kThought ? parts.thought : parts.answer) += held_;
  if (state_ == State::kGap) parts.answer.clear();  // white space alone after a thought
  held_.clear();
  state_ = State::kAnswer;
  return parts;
}

void ThoughtSplitter::step(Parts& parts) {
  if (state_ == State::kStart) {
    const size_t word = held_.find_first_not_of(kBlank);
    if (word == std::string::npos) return;
    const std::string_view rest = std::string_view(held_).substr(word);
    if (rest.starts_with(kOpen)) {
      held_.erase(0, word + kOpen.size());
      state_ = State::kThought;
    } else if (kOpen.starts_with(rest)) {
      return;
    } else {
      state_ = State::kAnswer;
    }
  }
  if (state_ == State::kThought) {
    const size_t close = held_.find(kClose);
    if (close == std::string::npos) {
      const size_t keep = partial_tag(held_, kClose);
      parts.thought += held_.substr(0, held_.size() - keep);
      held_.erase(0, held_.size() - keep);
      return;
    }
    parts.thought += held_.substr(0, close);
    held_.erase(0, close + kClose.size());
    state_ = State::kGap;
  }
  if (state_ == State::kGap) {
    held_.erase(0, std::min(held_.find_first_not_of(kBlank), held_.size()));
    if (held_.empty()) return;
    state_ = State::kAnswer;
  }
  parts.answer += held_;
  held_.clear();
}

bool ends_in_thought(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(kBlank);
  return last != std::string_view::npos && prompt.substr(0, last + 1).ends_with(kOpen);
}

}  // namespace minke
