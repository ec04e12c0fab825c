#include "minke/text/tokenizer_config.h"

#include "minke/text/json_members.h"

namespace minke {
namespace {

constexpr JsonLimits kLimits = {
    .bytes_max = size_t{16} << 20, .depth_max = 64, .values_max = size_t{1} << 20};

/// A token as a string or as {"content": ...}; empty when it is missing or null.
Result<std::string> token_text(const Json& config, std::string_view file, std::string_view key) {
  const Json* token = config.find(key);
  if (token != nullptr && token->is_object()) return string_or(*token, key, "content", "");
  return string_or(config, file, key, "");
}

Result<std::string> chat_template_of(const Json& config, std::string_view file) {
  const Json* templates = config.find("chat_template");
  if (templates == nullptr || !templates->is_array()) {
    return string_or(config, file, "chat_template", "");
  }
  for (const Json& named : templates->as_array()) {
    MK_ASSIGN(const auto name, string_or(named, "chat_template", "name", ""));
    if (name == "default") return string_or(named, "chat_template", "template", "");
  }
  return std::string();
}

Result<void> read_eos_ids(const Json& config, std::vector<int64_t>& ids) {
  const Json* eos = config.find("eos_token_id");
  if (eos == nullptr || eos->is_null()) return {};
  const Json::Array one = {*eos};
  for (const Json& id : eos->is_array() ? eos->as_array() : one) {
    if (!id.is_int()) {
      return fail(ErrorCode::kCorrupt,
                  "generation_config.json: eos_token_id is {}, expected an id or a list of ids",
                  eos->dump().substr(0, 80));
    }
    ids.push_back(id.as_int());
  }
  return {};
}

}  // namespace

Result<TokenizerConfig> read_tokenizer_config(const TokenizerTexts& texts) {
  TokenizerConfig out;
  if (!texts.tokenizer_config.empty()) {
    constexpr std::string_view kFile = "tokenizer_config.json";
    MK_ASSIGN(const Json config, parse_file(kFile, texts.tokenizer_config, kLimits));
    MK_ASSIGN(out.bos_token, token_text(config, kFile, "bos_token"));
    MK_ASSIGN(out.eos_token, token_text(config, kFile, "eos_token"));
    MK_ASSIGN(out.chat_template, chat_template_of(config, kFile));
    const Json* add_bos = config.find("add_bos_token");
    if (add_bos != nullptr && !add_bos->is_null()) {
      MK_ASSIGN(out.add_bos, bool_or(config, kFile, "add_bos_token", false));
    }
  }
  if (!texts.special_tokens_map.empty()) {
    constexpr std::string_view kFile = "special_tokens_map.json";
    MK_ASSIGN(const Json map, parse_file(kFile, texts.special_tokens_map, kLimits));
    if (out.bos_token.empty()) {
      MK_ASSIGN(out.bos_token, token_text(map, kFile, "bos_token"));
    }
    if (out.eos_token.empty()) {
      MK_ASSIGN(out.eos_token, token_text(map, kFile, "eos_token"));
    }
  }
  if (!texts.generation_config.empty()) {
    MK_ASSIGN(const Json config,
              parse_file("generation_config.json", texts.generation_config, kLimits));
    MK_TRY(read_eos_ids(config, out.eos_ids));
  }
  if (!texts.chat_template.empty()) out.chat_template = texts.chat_template;
  return out;
}

}  // namespace minke
