#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "minke/base/utf8.h"
#include "minke/format/gguf_writer.h"
#include "minke/text/byte_alphabet.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// The text in GPT-2's alphabet, one character a byte.
inline std::string in_alphabet(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    for (uint32_t code_point = 0; code_point < kByteOfCodePoint.size(); ++code_point) {
      if (kByteOfCodePoint[code_point] == static_cast<uint8_t>(c)) utf8_append(out, code_point);
    }
  }
  return out;
}

/// A vocabulary for tests that need no model: 256 byte tokens (id = byte), then what is added. The
/// members are what the file will say, so a test can make any of them wrong.
struct TinyVocabulary {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<std::string> merges;
  std::string model = "gpt2";
  std::string pre = "smollm";

  TinyVocabulary() {
    for (int byte = 0; byte < 256; ++byte) {
      const char c = static_cast<char>(byte);
      add(in_alphabet({&c, 1}), 1);
    }
  }
  int32_t add(std::string text, int32_t type) {
    tokens.push_back(std::move(text));
    types.push_back(type);
    return static_cast<int32_t>(tokens.size()) - 1;
  }
  /// A merge and the token it makes, both given as bytes.
  int32_t add_merge(std::string_view left, std::string_view right) {
    merges.push_back(in_alphabet(left) + " " + in_alphabet(right));
    return add(in_alphabet(std::string(left) + std::string(right)), 1);
  }
  int32_t add_control(std::string text) { return add(std::move(text), 3); }
  int32_t add_user_defined(std::string text) { return add(std::move(text), 4); }

  GgufWriter writer() const {
    GgufWriter writer;
    writer.add("tokenizer.ggml.model", model);
    writer.add("tokenizer.ggml.pre", pre);
    writer.add_array("tokenizer.ggml.tokens", tokens);
    writer.add_array("tokenizer.ggml.token_type", std::span<const int32_t>(types));
    writer.add_array("tokenizer.ggml.merges", merges);
    return writer;
  }
};

/// The tokenizer of a file's bytes. It owns its tables, so the bytes may go.
inline Result<Tokenizer> tokenizer_of(const GgufWriter& writer) {
  const std::string bytes = writer.serialize();
  MK_ASSIGN(const GgufFile file, GgufFile::parse(std::as_bytes(std::span(bytes))));
  return Tokenizer::from_gguf(file);
}
inline Result<Tokenizer> tokenizer_of(const TinyVocabulary& vocabulary) {
  return tokenizer_of(vocabulary.writer());
}

}  // namespace minke
