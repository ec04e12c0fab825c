#include "minke/convert/gguf_tokenizer.h"

#include <fmt/format.h>

#include <system_error>

#include "minke/convert/tokenizer_check.h"
#include "minke/format/gguf_writer.h"
#include "minke/text/tokenizer.h"
#include "minke/text/tokenizer_builder.h"
#include "minke/text/tokenizer_file.h"

namespace minke {
namespace {

// The tokens by id, as tokenizer.ggml.* has them. The JSON has been read by Tokenizer::from_json(),
// which checked it: members are there and of their kinds, ids in range.
struct GgufTokens {
  std::vector<std::string> texts;
  std::vector<int32_t> kinds;

  void place(const std::string& text, int64_t id, TokenKind kind) {
    if (static_cast<size_t>(id) >= texts.size()) {
      texts.resize(static_cast<size_t>(id) + 1);
      kinds.resize(texts.size(), static_cast<int32_t>(TokenKind::kUnused));
    }
    texts[static_cast<size_t>(id)] = text;
    kinds[static_cast<size_t>(id)] = static_cast<int32_t>(kind);
  }
};

GgufTokens tokens_of(const Json& root, const Tokenizer& tokenizer) {
  GgufTokens tokens;
  for (const auto& [text, id] : root.find("model")->find("vocab")->as_object()) {
    tokens.place(text, id.as_int(), TokenKind::kNormal);
  }
  const Json* added = root.find("added_tokens");
  if (added == nullptr || !added->is_array()) return tokens;
  for (const Json& token : added->as_array()) {
    const std::string& text = token.find("content")->as_string();
    const auto id = tokenizer.find(text);
    if (!id) continue;
    const Json* special = token.find("special");
    const bool steers =
        (special != nullptr && special->is_bool() && special->as_bool()) || is_control_text(text);
    tokens.place(text, *id, steers ? TokenKind::kControl : TokenKind::kUserDefined);
  }
  return tokens;
}

// "left right"; a space inside a part is written as the alphabet of bytes has it.
std::vector<std::string> merges_of(const Json& root) {
  std::vector<std::string> merges;
  for (const Json& merge : root.find("model")->find("merges")->as_array()) {
    if (merge.is_string()) {
      merges.push_back(merge.as_string());
      continue;
    }
    std::string text;
    for (const Json& part : merge.as_array()) {
      if (!text.empty()) text += ' ';
      for (const char c : part.as_string()) text += c == ' ' ? std::string("Ġ") : std::string(1, c);
    }
    merges.push_back(std::move(text));
  }
  return merges;
}

bool contains_type(const Json& value, std::string_view type) {
  if (value.is_array()) {
    for (const Json& item : value.as_array()) {
      if (contains_type(item, type)) return true;
    }
  }
  if (!value.is_object()) return false;
  const Json* found = value.find("type");
  if (found != nullptr && found->is_string() && found->as_string() == type) return true;
  for (const auto& [key, member] : value.as_object()) {
    if (contains_type(member, type)) return true;
  }
  return false;
}

// llama.cpp's name for how text is cut; those that ignore merges for whole words have another than
// those that do not.
Result<std::string> pre_name(const Json& root, const Tokenizer& tokenizer) {
  const Json* pre = root.find("pre_tokenizer");
  if (pre == nullptr || !contains_type(*pre, "ByteLevel")) {
    return fail(ErrorCode::kUsage,
                "tokenizer.json is no byte-level BPE, the only kind that is converted; "
                "--no-tokenizer leaves it out");
  }
  std::string name(tokenizer.pretokenizer_name());
  const Json* ignore = root.find("model")->find("ignore_merges");
  const bool ignores = ignore != nullptr && ignore->is_bool() && ignore->as_bool();
  if (name == "llama-bpe" && !ignores) name = "smaug-bpe";
  if (name != "none" && name != "tokenizer.json") return name;
  return fail(ErrorCode::kUsage,
              "GGUF has no name for how tokenizer.json cuts text; --no-tokenizer leaves it out");
}

// The id that the config gives for a role: a number, or the first of several.
std::optional<int64_t> configured_id(const Json& config, std::string_view key) {
  const Json* value = config.find(key);
  if (value != nullptr && value->is_array() && !value->as_array().empty()) {
    value = &value->as_array()[0];
  }
  if (value == nullptr || !value->is_int()) return std::nullopt;
  return value->as_int();
}

void add_ids(const HfFolder& folder, const Tokenizer& tokenizer, GgufMetadata& metadata) {
  const auto add = [&](std::string_view key, std::optional<int32_t> id, std::string_view setting) {
    std::optional<int64_t> chosen = id;
    if (!chosen) chosen = configured_id(folder.config, setting);
    if (!chosen || *chosen < 0 || *chosen >= tokenizer.vocab_size()) return;
    metadata.add(key, static_cast<uint32_t>(*chosen));
  };
  add("tokenizer.ggml.bos_token_id", tokenizer.bos(), "bos_token_id");
  add("tokenizer.ggml.eos_token_id", tokenizer.eos(), "eos_token_id");
  add("tokenizer.ggml.padding_token_id", std::nullopt, "pad_token_id");
}

}  // namespace

Result<bool> add_gguf_tokenizer(const HfFolder& folder, int64_t vocab_size,
                                GgufMetadata& metadata) {
  const std::filesystem::path path = folder.folder / "tokenizer.json";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return false;
  MK_ASSIGN(const TokenizerTexts texts, read_tokenizer_texts(path));
  MK_ASSIGN(const Tokenizer tokenizer, Tokenizer::from_json(texts));
  MK_ASSIGN(const Json root, parse_json(texts.tokenizer_json));
  MK_ASSIGN(const std::string pre, pre_name(root, tokenizer));
  GgufTokens tokens = tokens_of(root, tokenizer);
  if (tokens.texts.size() > static_cast<size_t>(vocab_size)) {
    return fail(ErrorCode::kUsage,
                "tokenizer.json has {} tokens, but config.json's vocab_size is {}; --no-tokenizer "
                "leaves the tokenizer out",
                tokens.texts.size(), vocab_size);
  }
  tokens.texts.resize(static_cast<size_t>(vocab_size));
  tokens.kinds.resize(tokens.texts.size(), static_cast<int32_t>(TokenKind::kUnused));
  for (size_t id = 0; id < tokens.texts.size(); ++id) {
    if (tokens.texts[id].empty()) tokens.texts[id] = fmt::format("[PAD{}]", id);
  }
  GgufWriter written;  // of the tokenizer alone
  written.add("tokenizer.ggml.model", "gpt2");
  written.add("tokenizer.ggml.pre", pre);
  written.add_array("tokenizer.ggml.tokens", tokens.texts);
  written.add_array("tokenizer.ggml.token_type", std::span<const int32_t>(tokens.kinds));
  written.add_array("tokenizer.ggml.merges", merges_of(root));
  add_ids(folder, tokenizer, written);
  written.add("tokenizer.ggml.add_bos_token", tokenizer.add_bos());
  if (!tokenizer.chat_template().empty()) {
    written.add("tokenizer.chat_template", tokenizer.chat_template());
  }
  const std::string bytes = written.serialize();
  MK_ASSIGN(const GgufFile file, GgufFile::parse(std::as_bytes(std::span(bytes)), "tokenizer"));
  MK_ASSIGN(const Tokenizer after, Tokenizer::from_gguf(file));
  MK_TRY(check_same_tokenizer(tokenizer, after));
  metadata.copy(file);
  return true;
}

}  // namespace minke
