// Goal: what a stream emits is the whole's text up to the first stop, whatever the splits, always
// valid UTF-8, and nothing waits that could go. Method: random bytes in random splits against a
// decoder of the whole that is written differently.
#include "minke/text/stream_decoder.h"

#include <gtest/gtest.h>

#include "minke/base/random.h"
#include "minke/base/utf8.h"
#include "tests/text/tiny_vocabulary.h"

namespace minke {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

Tokenizer plain_tokenizer() { return std::move(*tokenizer_of(TinyVocabulary())); }

std::string replaced(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const Utf8Char c = utf8_next(bytes);
    out += c.valid ? bytes.substr(0, static_cast<size_t>(c.bytes)) : kReplacement;
    bytes.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return out;
}

/// The text before the stop that ends first, the longest of those, and its index (-1: none).
std::pair<std::string, int> cut_at_stop(const std::string& text,
                                        const std::vector<std::string>& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    int found = -1;
    for (size_t i = 0; i < stops.size(); ++i) {
      const std::string_view so_far = std::string_view(text).substr(0, end);
      const bool longer = found < 0 || stops[i].size() > stops[static_cast<size_t>(found)].size();
      if (!stops[i].empty() && so_far.ends_with(stops[i]) && longer) found = static_cast<int>(i);
    }
    if (found >= 0) return {text.substr(0, end - stops[static_cast<size_t>(found)].size()), found};
  }
  return {text, -1};
}

std::string random_text(Random& random, size_t size_max) {
  static const std::vector<std::string> kParts = {"a",    "b",        "ab",   "é",    "中", "👍",
                                                  "\xF0", "\xE4\xB8", "\x80", "\xFF", "\n"};
  std::string text;
  for (uint64_t i = random.below(size_max); i-- > 0;) text += kParts[random.below(kParts.size())];
  return text;
}

TEST(StreamDecoder, AnySplitEmitsTheWholeUpToTheFirstStop) {
  const Tokenizer tokenizer = plain_tokenizer();
  Random random(5);
  int num_stopped = 0;
  for (int round = 0; round < 20000; ++round) {
    const std::string bytes = random_text(random, 24);
    StreamDecoderOptions options;
    for (uint64_t i = random.below(4); i-- > 0;) {
      options.stops.push_back(replaced(random_text(random, 6)));
    }
    StreamDecoder decoder(tokenizer, options);
    std::string emitted;
    int stop_index = -1;
    const auto take = [&](const StreamPiece& piece) {
      EXPECT_EQ(replaced(piece.text), piece.text) << "never half a character";
      emitted += piece.text;
      if (piece.stopped()) stop_index = piece.stop_index;
    };
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = std::min<size_t>(1 + random.below(5), bytes.size() - at);
      take(decoder.feed_bytes(bytes.substr(at, size)));
      at += size;
    }
    take(decoder.flush());
    const auto [text, index] = cut_at_stop(replaced(bytes), options.stops);
    ASSERT_EQ(emitted, text) << testing::PrintToString(bytes);
    ASSERT_EQ(stop_index, index);
    EXPECT_TRUE(decoder.ended());
    if (index >= 0) ++num_stopped;
  }
  EXPECT_GT(num_stopped, 2000);
}

TEST(StreamDecoder, ACharacterIsEmittedWithItsLastByte) {
  const Tokenizer tokenizer = plain_tokenizer();
  StreamDecoder decoder(tokenizer);
  for (const int byte : {0xF0, 0x9F, 0x91}) EXPECT_EQ(decoder.feed(byte).text, "");
  EXPECT_EQ(decoder.feed(0x8D).text, "👍");
  EXPECT_EQ(decoder.feed(0xE4).text, "");
  EXPECT_EQ(decoder.feed('a').text, "\uFFFDa");
  EXPECT_EQ(decoder.feed(0xE4).text, "");
  EXPECT_EQ(decoder.feed(0xB8).text, "");
  EXPECT_EQ(decoder.flush().text, "\uFFFD");
  EXPECT_EQ(decoder.feed('a').text, "") << "the stream has ended";
  EXPECT_EQ(decoder.flush().text, "");
}

TEST(StreamDecoder, OnlyWhatMayBecomeAStopWaits) {
  const Tokenizer tokenizer = plain_tokenizer();
  StreamDecoder decoder(tokenizer, {.stops = {"", "END", "E!"}});
  EXPECT_EQ(decoder.feed('x').text, "x");
  EXPECT_EQ(decoder.feed('E').text, "");
  EXPECT_EQ(decoder.feed('N').text, "");
  EXPECT_EQ(decoder.feed('E').text, "EN") << "the last E may begin anew";
  EXPECT_EQ(decoder.feed('x').text, "Ex");
  EXPECT_EQ(decoder.feed_bytes("aE").text, "a");
  const StreamPiece last = decoder.feed('!');
  EXPECT_EQ(last.text, "");
  EXPECT_EQ(last.stop_index, 2);
  EXPECT_EQ(decoder.feed('x').text, "");
  EXPECT_EQ(decoder.flush().text, "") << "the stop itself never comes out";
}

TEST(StreamDecoder, HeldTextComesOutAtTheEnd) {
  const Tokenizer tokenizer = plain_tokenizer();
  StreamDecoder decoder(tokenizer, {.stops = {"END"}});
  EXPECT_EQ(decoder.feed_bytes("the EN").text, "the ");
  const StreamPiece last = decoder.flush();
  EXPECT_EQ(last.text, "EN");
  EXPECT_FALSE(last.stopped());
}

TEST(StreamDecoder, ControlTokensAreLeftOutUnlessKept) {
  TinyVocabulary vocabulary;
  const int32_t end = vocabulary.add_control("<|im_end|>");
  const auto tokenizer = tokenizer_of(vocabulary);
  StreamDecoder skipping(*tokenizer);
  StreamDecoder keeping(*tokenizer, {.stops = {}, .keep_control = true});
  std::string skipped;
  std::string kept;
  for (const int32_t id : {int32_t{'a'}, 0xC3, end, 0xA9, int32_t{'b'}}) {
    skipped += skipping.feed(id).text;
    kept += keeping.feed(id).text;
  }
  EXPECT_EQ(skipped, "aéb");
  EXPECT_EQ(kept, "a\uFFFD<|im_end|>\uFFFDb");
}

}  // namespace
}  // namespace minke
