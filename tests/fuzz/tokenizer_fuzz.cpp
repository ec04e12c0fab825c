// Any bytes are text: its ids decode to the same bytes, control tokens appear only where the text
// is trusted, and a stream of the ids shows the whole. Any bytes are a vocabulary, too: loading
// ends with a Tokenizer that works, or with an Error. The first byte says which.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "minke/base/utf8.h"
#include "minke/format/gguf.h"
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

std::string replaced(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    const minke::Utf8Char c = minke::utf8_next(bytes);
    out += c.valid ? bytes.substr(0, static_cast<size_t>(c.bytes)) : "\xEF\xBF\xBD";
    bytes.remove_prefix(static_cast<size_t>(c.bytes));
  }
  return out;
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
  static const minke::Tokenizer kSmollm = make_tokenizer("smollm");
  static const minke::Tokenizer kGpt2 = make_tokenizer("gpt-2");
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (size > 0 && data[0] != 'G') {
    check_text(data[0] % 2 == 0 ? kSmollm : kGpt2, bytes.substr(1));
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
