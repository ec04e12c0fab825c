#include "minke/text/stream_decoder.h"

#include <algorithm>
#include <utility>

#include "minke/base/utf8.h"

namespace minke {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// The text with each invalid sequence as U+FFFD, as the stream itself will have it.
std::string repaired(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Char c = utf8_next(text);
    out += c.valid ? text.substr(0, static_cast<size_t>(c.bytes)) : kReplacement;
    text.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return out;
}

std::vector<int> borders_of(std::string_view text) {
  std::vector<int> borders(text.size() + 1, 0);
  int length = 0;
  for (size_t i = 1; i < text.size(); ++i) {
    while (length > 0 && text[i] != text[static_cast<size_t>(length)]) {
      length = borders[static_cast<size_t>(length)];
    }
    if (text[i] == text[static_cast<size_t>(length)]) ++length;
    borders[i + 1] = length;
  }
  return borders;
}

}  // namespace

StreamDecoder::StreamDecoder(const Tokenizer& tokenizer, StreamDecoderOptions options)
    : tokenizer_(&tokenizer), keep_control_(options.keep_control) {
  for (size_t i = 0; i < options.stops.size(); ++i) {
    if (options.stops[i].empty()) continue;
    std::string text = repaired(options.stops[i]);
    std::vector<int> borders = borders_of(text);
    stops_.push_back({std::move(text), std::move(borders), 0, static_cast<int>(i)});
  }
}

StreamPiece StreamDecoder::feed(int32_t id) {
  if (!keep_control_ && tokenizer_->is_control(id)) return {};
  return feed_bytes(tokenizer_->token_bytes(id));
}

StreamPiece StreamDecoder::feed_bytes(std::string_view bytes) {
  StreamPiece piece;
  if (ended_) return piece;
  bytes_ += bytes;
  append_characters(false, piece);
  return piece;
}

StreamPiece StreamDecoder::flush() {
  StreamPiece piece;
  if (ended_) return piece;
  append_characters(true, piece);
  if (!piece.stopped()) piece.text += std::exchange(held_, {});
  ended_ = true;
  return piece;
}

/// Moves whole characters from bytes_ to the text; an unfinished one only `at_end`.
void StreamDecoder::append_characters(bool at_end, StreamPiece& piece) {
  std::string_view left = bytes_;
  while (!left.empty()) {
    const Utf8Char c = utf8_next(left);
    if (c.truncated && !at_end) break;
    const std::string_view character = left.substr(0, static_cast<size_t>(c.bytes));
    if (append_matching(c.valid ? character : kReplacement, piece)) return;
    left.remove_prefix(character.size());
  }
  bytes_.erase(0, bytes_.size() - left.size());
  if (held_.empty()) return;
  // What no stop begins with any more may go out.
  int longest = 0;
  for (const Stop& stop : stops_) longest = std::max(longest, stop.matched);
  const size_t free_bytes = held_.size() - static_cast<size_t>(longest);
  piece.text.append(held_, 0, free_bytes);
  held_.erase(0, free_bytes);
}

/// Appends a character to held_ and advances every stop's match. True when one is complete: then
/// the stream has ended and `piece` has what stands before the stop.
bool StreamDecoder::append_matching(std::string_view character, StreamPiece& piece) {
  held_ += character;
  const Stop* found = nullptr;
  for (Stop& stop : stops_) {
    for (const char c : character) {
      while (stop.matched > 0 && stop.text[static_cast<size_t>(stop.matched)] != c) {
        stop.matched = stop.fallback[static_cast<size_t>(stop.matched)];
      }
      if (stop.text[static_cast<size_t>(stop.matched)] == c) ++stop.matched;
    }
    const bool complete = stop.matched == static_cast<int>(stop.text.size());
    if (complete && (found == nullptr || stop.text.size() > found->text.size())) found = &stop;
  }
  if (found == nullptr) return false;
  piece.text.append(held_, 0, held_.size() - found->text.size());
  piece.stop_index = found->index;
  held_.clear();
  bytes_.clear();
  ended_ = true;
  return true;
}

}  // namespace minke
