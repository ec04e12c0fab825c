#include "minke/text/reasoning_parser.h"

#include <algorithm>

namespace minke {
namespace {

constexpr std::string_view kSpace = " \t\r\n";

// How many bytes at the end of `text` may be the beginning of `tag`.
size_t partial_tag(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

}  // namespace

bool ReasoningParser::opened_by(std::string_view prompt) {
  const size_t last = prompt.find_last_not_of(kSpace);
  return last != std::string_view::npos && prompt.substr(0, last + 1).ends_with(kOpen);
}

// Before anything but white space came: the tag opens a thought, other text is content.
void ReasoningParser::read_start(ReasoningPiece& piece) {
  const size_t begin = held_.find_first_not_of(kSpace);
  if (begin == std::string::npos) return;
  const std::string_view text = std::string_view(held_).substr(begin);
  if (text.starts_with(kOpen)) {
    held_.erase(0, begin + kOpen.size());
    state_ = State::kThought;
  } else if (!kOpen.starts_with(text)) {
    piece.content += held_;
    held_.clear();
    state_ = State::kContent;
  }
}

// Emits the thought up to what may be its closing tag and the white space before that.
void ReasoningParser::read_thought(ReasoningPiece& piece) {
  if (!thought_begun_) {
    const size_t begin = held_.find_first_not_of(kSpace);
    held_.erase(0, std::min(begin, held_.size()));
    if (held_.empty()) return;
  }
  const size_t close = held_.find(kClose);
  const bool closed = close != std::string::npos;
  size_t end = closed ? close : held_.size() - partial_tag(held_, kClose);
  while (end > 0 && kSpace.find(held_[end - 1]) != std::string_view::npos) --end;
  if (end > 0) thought_begun_ = true;
  piece.reasoning += held_.substr(0, end);
  held_.erase(0, closed ? close + kClose.size() : end);
  if (closed) state_ = State::kGap;
}

ReasoningPiece ReasoningParser::feed(std::string_view text) {
  ReasoningPiece piece;
  held_ += text;
  if (state_ == State::kStart) read_start(piece);
  if (state_ == State::kThought) read_thought(piece);
  if (state_ == State::kGap) {
    held_.erase(0, std::min(held_.find_first_not_of(kSpace), held_.size()));
    if (!held_.empty()) state_ = State::kContent;
  }
  if (state_ == State::kContent) {
    piece.content += held_;
    held_.clear();
  }
  return piece;
}

ReasoningPiece ReasoningParser::flush() {
  ReasoningPiece piece;
  if (state_ == State::kThought) {
    piece.reasoning = std::move(held_);
  } else if (state_ != State::kGap) {
    piece.content = std::move(held_);
  }
  held_.clear();
  return piece;
}

}  // namespace minke
