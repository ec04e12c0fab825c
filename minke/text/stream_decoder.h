#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "minke/text/tokenizer.h"

namespace minke {

/// How a StreamDecoder treats stop strings and control tokens.
struct StreamDecoderOptions {
  /// The reply ends before the first of these in the text. Empty strings are ignored.
  std::vector<std::string> stops;
  /// Emit the text of control tokens instead of leaving them out.
  bool keep_control = false;
};

/// What one step of a stream gave.
struct StreamPiece {
  std::string text;     ///< valid UTF-8 that may be shown now; often empty
  int stop_index = -1;  ///< index into options.stops when one was found: the stream has ended
  bool stopped() const { return stop_index >= 0; }
};

/// Turns token ids into text while they come. Never emits half a character: bytes wait until their
/// character is complete, and invalid ones become U+FFFD exactly as Python's
/// bytes.decode(errors="replace") makes them in the whole. Text that may still become a stop string
/// waits too. The stop whose last byte comes first wins, the longest of several that end there; so
/// the result does not depend on how the text falls into tokens. One stream, one thread. The
/// Tokenizer must outlive it.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, StreamDecoderOptions options = {});

  /// Takes the next token. After a stop it gives nothing more.
  StreamPiece feed(int32_t id);
  /// The same for bytes that come from elsewhere.
  StreamPiece feed_bytes(std::string_view bytes);
  /// Ends the stream: gives what was held back, an unfinished character as U+FFFD.
  StreamPiece flush();
  /// Whether a stop was found or flush() was called.
  bool ended() const { return ended_; }

 private:
  struct Stop {
    std::string text;
    std::vector<int> fallback;  // Knuth-Morris-Pratt: length of the longest border of each prefix
    int matched = 0;            // how many bytes of `text` the end of the stream's text matches
    int index = 0;              // in options.stops
  };

  void append_characters(bool at_end, StreamPiece& piece);
  bool append_matching(std::string_view character, StreamPiece& piece);

  const Tokenizer* tokenizer_;
  std::vector<Stop> stops_;
  bool keep_control_ = false;
  bool ended_ = false;
  std::string bytes_;  // of an unfinished character, < 4
  std::string held_;   // text that may become a stop string
};

}  // namespace minke
