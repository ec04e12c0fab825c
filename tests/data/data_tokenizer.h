#pragma once
#include <string>
#include <string_view>

#include "tests/text/tiny_vocabulary.h"

namespace minke::test {

/// Bytes, and control tokens of ids 256 .. 261: <|im_start|>, <|im_end|> (eos), <fim_prefix>,
/// <fim_suffix>, <fim_middle>, <|bos|>.
constexpr std::string_view kChatMl =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
/// As reasoning models' templates: the prompt opens <think>, an answer loses its thoughts.
constexpr std::string_view kReasoning =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] }}"
    "{% if m.role == 'assistant' %}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}";

inline Tokenizer data_tokenizer(std::string_view chat_template = kChatMl) {
  TinyVocabulary vocabulary;
  for (const char* text :
       {"<|im_start|>", "<|im_end|>", "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<|bos|>"}) {
    vocabulary.add_control(text);
  }
  GgufWriter writer = vocabulary.writer();
  writer.add("tokenizer.ggml.eos_token_id", uint32_t{257});
  if (!chat_template.empty()) writer.add("tokenizer.chat_template", std::string(chat_template));
  auto tokenizer = tokenizer_of(writer);
  if (!tokenizer) std::abort();
  return std::move(*tokenizer);
}

}  // namespace minke::test
