// Any bytes are a tokenizer.json: loading ends with a Tokenizer that works, or with an Error of
// bounded length. Text, for which the document itself serves, never becomes a control token unless
// it is trusted, and every id has bytes. A zero byte parts the document from the files beside it.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "minke/text/tokenizer.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view left(reinterpret_cast<const char*>(data), size);
  minke::TokenizerTexts texts;
  for (std::string* text : {&texts.tokenizer_json, &texts.tokenizer_config,
                            &texts.special_tokens_map, &texts.generation_config}) {
    const size_t end = std::min(left.find('\0'), left.size());
    *text = left.substr(0, end);
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  const auto tokenizer = minke::Tokenizer::from_json(texts);
  if (!tokenizer) {
    require(!tokenizer.error().message.empty() && tokenizer.error().message.size() < 4096);
    return 0;
  }
  const std::string_view text = std::string_view(texts.tokenizer_json).substr(0, 4096);
  for (const int32_t id : tokenizer->encode(text)) {
    require(id >= 0 && id < tokenizer->vocab_size() && !tokenizer->is_control(id));
    require(!tokenizer->token_bytes(id).empty());
  }
  const auto ids = tokenizer->encode(text, {.parse_special = true});
  tokenizer->decode(ids);
  require(tokenizer->decode(tokenizer->encode("")).empty());
  return 0;
}
