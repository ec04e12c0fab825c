// Any line is an example: reading it ends with an Error of bounded length, or with documents that
// have a mask bit for each token, something to learn, and ids that are tokens.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "minke/data/example_encoder.h"
#include "tests/data/data_tokenizer.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

minke::Result<void> read(std::string_view line, const minke::Tokenizer& tokenizer, bool chat) {
  static constexpr double kFimRate = 0.5;
  const auto encoder =
      minke::ExampleEncoder::create(tokenizer, {.chat = chat, .fim_rate = kFimRate});
  require(encoder.has_value());
  MK_ASSIGN(const minke::Json object, minke::parse_json(line));
  MK_ASSIGN(const minke::RecordFormat format, minke::detect_format(object, {}));
  MK_ASSIGN(const minke::Record record, minke::parse_record(object, format, {}));
  MK_ASSIGN(const auto documents, encoder->encode(record));
  require(documents.size() == (format == minke::RecordFormat::kPairs ? 2u : 1u));
  for (const minke::TokenDocument& document : documents) {
    require(!document.ids.empty());
    for (const int32_t id : document.ids) require(0 <= id && id < tokenizer.vocab_size());
    if (format == minke::RecordFormat::kText) continue;
    require(document.loss.size() == document.ids.size());
    require(std::ranges::count(document.loss, true) > 0);
  }
  return {};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const minke::Tokenizer chat_ml = minke::test::data_tokenizer();
  static const minke::Tokenizer reasoning = minke::test::data_tokenizer(minke::test::kReasoning);
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  for (const minke::Tokenizer* tokenizer : {&chat_ml, &reasoning}) {
    for (const bool chat : {false, true}) {
      const auto done = read(line, *tokenizer, chat);
      if (!done) require(!done.error().message.empty() && done.error().message.size() < 4096);
    }
  }
  return 0;
}
