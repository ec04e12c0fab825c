// Any bytes are text: its ids decode to the same bytes, control tokens appear only where the text
// is trusted, and a stream of the ids shows the whole, with every pre-tokenizer and SentencePiece.
// Any bytes are a vocabulary, too: loading ends with a Tokenizer that works, or with an Error. The
// first byte says which.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/utf8.h"
#include "minke/format/gguf.h"
#include "minke/text/pretokenizer.h"
#include "minke/text/stream_decoder.h"
#include "tests/text/tiny_vocabulary.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

minke::Tokenizer make_tokenizer(std::string_view pre) {
  minke::TinyVocabulary vocabulary;
  vocabulary.pre = pre;
  vocabulary.add_merge("a", "a");
  vocabulary.add_merge("aa", "a");
  vocabulary.add_merge(" ", "a");
  vocabulary.add_merge("\xE4", "\xB8");
  vocabulary.add_control("<|e|>");
  vocabulary.add_control("<|");
  vocabulary.add_user_defined("<t>");
  return std::move(*tokenizer_of(vocabulary));
}

constexpr std::string_view kEscapedSpace = "\u2581";

/// SentencePiece: bytes, a few characters and what they make.
minke::Tokenizer make_sentencepiece() {
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>", "<t>"};
  std::vector<int32_t> types = {2, 3, 3, 4};
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(fmt::format("<0x{:02X}>", byte));
    types.push_back(6);
  }
  for (const char* token :
       {"\u2581", "a", "é", "中", "\u2581a", "aa", "é中", "\u2581\u2581", "s>"}) {
    tokens.push_back(token);
    types.push_back(1);
  }
  std::vector<float> scores(tokens.size());
  for (size_t i = 260; i < scores.size(); ++i) scores[i] = -static_cast<float>(i % 4);
  minke::GgufWriter writer;
  writer.add("tokenizer.ggml.model", "llama");
  writer.add_array("tokenizer.ggml.tokens", tokens);
  writer.add_array("tokenizer.ggml.scores", std::span<const float>(scores));
  writer.add_array("tokenizer.ggml.token_type", std::span<const int32_t>(types));
  return std::move(*tokenizer_of(writer));
}

/// One for each pre-tokenizer, and SentencePiece at the end.
std::vector<minke::Tokenizer> make_all() {
  std::vector<minke::Tokenizer> all;
  std::istringstream names(minke::pretokenizer_names());
  for (std::string name; std::getline(names >> std::ws, name, ',');) {
    all.push_back(make_tokenizer(name));
  }
  all.push_back(make_sentencepiece());
  return all;
}

std::string replaced(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const minke::Utf8Char c = minke::utf8_next(bytes);
    out += c.valid ? bytes.substr(0, static_cast<size_t>(c.bytes)) : "\xEF\xBF\xBD";
    bytes.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return out;
}

/// SentencePiece puts a space before each stretch of text, so that its tokens alone are not the
/// text.
void check_sentencepiece(const minke::Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  for (const int32_t id : ids) require(!tokenizer.is_control(id));
  if (text.find(kEscapedSpace) != std::string_view::npos) return;
  require(tokenizer.decode(ids) == text);
  require(tokenizer.decode(tokenizer.encode(text, {.parse_special = true})) == text);
}

void check_text(const minke::Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  require(tokenizer.decode(ids) == text);
  for (const int32_t id : ids) require(!tokenizer.is_control(id));
  require(tokenizer.decode(tokenizer.encode(text, {.parse_special = true})) == text);

  const size_t from = text.size() / 3;
  const size_t to = text.size() - text.size() / 4;
  const minke::MarkedText marked{std::string(text), {{from, to}}};
  size_t at = 0;
  for (const int32_t id : tokenizer.encode(marked)) {
    const size_t end = at + tokenizer.token_bytes(id).size();
    require(!tokenizer.is_control(id) || end <= from || at >= to);
    require(text.substr(at, end - at) == tokenizer.token_bytes(id));
    at = end;
  }
  require(at == text.size());

  minke::StreamDecoder stream(tokenizer);
  std::string shown;
  for (const int32_t id : ids) shown += stream.feed(id).text;
  shown += stream.flush().text;
  require(shown == replaced(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<minke::Tokenizer> kTokenizers = make_all();
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size > 0 && data[0] != 'G') {
    const size_t which = data[0] % kTokenizers.size();
    const bool last = which + 1 == kTokenizers.size();
    (last ? check_sentencepiece : check_text)(kTokenizers[which], bytes.substr(1));
    return 0;
  }
  const auto file = minke::GgufFile::parse(std::as_bytes(std::span(data, size)));
  if (!file) return 0;
  const auto tokenizer = minke::Tokenizer::from_gguf(*file);
  if (!tokenizer) return 0;
  tokenizer->encode(bytes.substr(0, 4096), {.parse_special = true});
  for (const int32_t id : tokenizer->encode(bytes.substr(0, 4096))) {
    require(!tokenizer->is_control(id) && !tokenizer->token_bytes(id).empty());
  }
  return 0;
}
