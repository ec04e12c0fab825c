#pragma once
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "minke/base/check.h"
#include "minke/base/utf8.h"
#include "minke/format/gguf_writer.h"
#include "minke/server/server_config.h"
#include "minke/text/byte_alphabet.h"
#include "minke/text/chat_template.h"
#include "minke/text/tokenizer.h"

namespace minke {

/// A tokenizer whose id i < 256 is byte i, with a few more tokens, and a chat template: made
/// through a GGUF file in memory, as a real one is.
struct TinyText {
  static constexpr int32_t kTurnEnd = 257;
  static constexpr int32_t kThink = 258;
  static constexpr int32_t kThinkEnd = 259;
  static constexpr int32_t kWor = 260;   // "wor"
  static constexpr int32_t kLdSt = 261;  // "ld ST"
  static constexpr int32_t kOp = 262;    // "OP!"
  static constexpr const char* kPlain =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
      "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
  // As R1's: the thoughts of earlier turns are cut off.
  static constexpr const char* kThinking =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}"
      "<|im_end|>\n{% endfor %}<|im_start|>assistant\n";

  explicit TinyText(const char* source = kPlain)
      : tokenizer(make_tokenizer()), chat_template(std::move(*ChatTemplate::parse(source))) {}

  static Tokenizer make_tokenizer() {
    std::vector<std::string> tokens(256);
    for (uint32_t code = 0; code < kByteOfCodePoint.size(); ++code) {
      if (kByteOfCodePoint[code] < 0) continue;
      utf8_append(tokens[static_cast<size_t>(kByteOfCodePoint[code])], code);
    }
    for (const char* text : {"<|im_start|>", "<|im_end|>", "<think>", "</think>"}) {
      tokens.emplace_back(text);
    }
    std::vector<int32_t> types(256, 1);
    types.resize(tokens.size(), 3);
    for (const char* text : {"wor", "ldĠST", "OP!"}) tokens.emplace_back(text);
    types.resize(tokens.size(), 1);
    GgufWriter writer;
    writer.add("general.architecture", "llama");
    writer.add("tokenizer.ggml.model", "gpt2");
    writer.add("tokenizer.ggml.pre", "smollm");
    writer.add_array("tokenizer.ggml.tokens", tokens);
    writer.add_array<int32_t>("tokenizer.ggml.token_type", types);
    writer.add_array("tokenizer.ggml.merges", std::vector<std::string>());
    writer.add("tokenizer.ggml.bos_token_id", uint32_t{256});
    writer.add("tokenizer.ggml.eos_token_id", uint32_t{257});
    const std::string bytes = writer.serialize();
    const Result<GgufFile> file = GgufFile::parse(std::as_bytes(std::span(bytes)));
    MK_CHECK(file.has_value(), "tiny_text: bad file");
    Result<Tokenizer> made = Tokenizer::from_gguf(*file);
    MK_CHECK(made.has_value(), "tiny_text: bad tokenizer");
    return std::move(*made);
  }

  ServedModel served(Generator* generator) const {
    ServedModel model;
    model.name = "tiny";
    model.aliases = {"tiny-alias"};
    model.generator = generator;
    model.tokenizer = &tokenizer;
    model.chat_template = &chat_template;
    model.context_tokens = 4096;
    model.precision = "f32";
    model.description = "a <test> model";
    model.created = 1700000000;
    return model;
  }

  Tokenizer tokenizer;
  ChatTemplate chat_template;
};

}  // namespace minke
