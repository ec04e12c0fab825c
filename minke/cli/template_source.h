#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// A chat template as a model or a file gives it, with the special tokens that it may use.
struct TemplateSource {
  std::string text;
  std::optional<std::string> bos_token;  ///< absent where the source names none
  std::optional<std::string> eos_token;
  Json other_tokens;  ///< object: pad_token, unk_token, ... of a tokenizer_config.json
};

/// Finds the template of `name_or_path`:
///
///     a name from the store, FILE.gguf   tokenizer.chat_template and the vocabulary's BOS and EOS
///     FILE.json                          chat_template and the special tokens of a
///                                        tokenizer_config.json; of several templates the one
///                                        called "tool_use" with tools, else "default"
///     a folder                           its chat_template.jinja or tokenizer_config.json
///     any other file                     its text
///
/// kNotFound when there is nothing of that name, kUsage when it has no template, kCorrupt when it
/// is not what it should be.
Result<TemplateSource> find_template(const std::string& name_or_path, bool with_tools);

}  // namespace minke
