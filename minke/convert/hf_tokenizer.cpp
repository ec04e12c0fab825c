#include "minke/convert/hf_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "minke/base/files.h"
#include "minke/convert/tokenizer_check.h"
#include "minke/text/pretokenizer.h"
#include "minke/text/tokenizer.h"
#include "minke/text/tokenizer_builder.h"
#include "minke/text/tokenizer_writer.h"

namespace minke {
namespace {

// The vocabulary has every token, added ones included, so that each keeps its id: a loader counts
// added tokens on from the vocabulary's end.
struct Vocabulary {
  Json::Object ids;
  Json::Array added;
  std::unordered_set<std::string_view> texts;  // in the file
};

// Unused tokens at the end fill the embedding's rows up; the tokenizer need not have them.
size_t num_tokens_used(std::span<const int32_t> kinds) {
  size_t count = kinds.size();
  while (count > 0 && kinds[count - 1] == static_cast<int32_t>(TokenKind::kUnused)) --count;
  return count;
}

Result<Vocabulary> read_vocabulary(const GgufFile& file) {
  constexpr std::string_view kTypes = "tokenizer.ggml.token_type";
  MK_ASSIGN(const GgufArray tokens, file.get_array("tokenizer.ggml.tokens"));
  std::vector<int32_t> kinds(tokens.size(), static_cast<int32_t>(TokenKind::kNormal));
  if (file.find_value(kTypes) != nullptr) {
    MK_ASSIGN(const GgufArray types, file.get_array(kTypes));
    MK_ASSIGN(kinds, types.numbers<int32_t>(kTypes));
  }
  Vocabulary out;
  const size_t count = num_tokens_used(kinds);
  auto at = tokens.strings().begin();
  for (size_t id = 0; id < count; ++id, ++at) {
    const std::string_view text = *at;
    if (!out.texts.insert(text).second) {
      return fail(ErrorCode::kUsage,
                  "two tokens are '{}', which tokenizer.json cannot have; --no-tokenizer leaves it "
                  "out",
                  text.substr(0, 40));
    }
    out.ids.emplace_back(text, static_cast<int64_t>(id));
    const bool control = kinds[id] == static_cast<int32_t>(TokenKind::kControl);
    if (!control && kinds[id] != static_cast<int32_t>(TokenKind::kUserDefined)) continue;
    out.added.push_back(added_token_json(text, static_cast<int64_t>(id), control));
  }
  return out;
}

// Merges that lead to no token are left out: tokenizer.json may not have them.
Result<Json::Array> read_merges(const GgufFile& file, const Vocabulary& vocabulary) {
  MK_ASSIGN(const GgufArray merges, file.get_array("tokenizer.ggml.merges"));
  Json::Array out;
  std::string both;
  for (const std::string_view merge : merges.strings()) {
    const size_t space = std::min(merge.find(' ', 1), merge.size() - 1);
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    both.assign(left).append(right);
    const auto has = [&](std::string_view text) { return vocabulary.texts.contains(text); };
    if (has(left) && has(right) && has(both)) out.push_back(Json::array({left, right}));
  }
  return out;
}

Result<Json> tokenizer_json(const GgufFile& file, const HfTokenizer& tokenizer,
                            std::string_view pre) {
  const Pretokenizer* row = find_pretokenizer(pre);
  MK_CHECK(row != nullptr, "hf_tokenizer: no pre-tokenizer '{}'", pre);
  MK_ASSIGN(Vocabulary vocabulary, read_vocabulary(file));
  MK_ASSIGN(Json::Array merges, read_merges(file, vocabulary));
  return byte_bpe_json({.vocab = std::move(vocabulary.ids),
                        .merges = std::move(merges),
                        .added_tokens = std::move(vocabulary.added),
                        .pretokenizer = row,
                        .bos = tokenizer.add_bos ? tokenizer.bos : std::nullopt,
                        .bos_text = tokenizer.bos_text});
}

}  // namespace

Result<HfTokenizer> hf_tokenizer(const GgufFile& file) {
  MK_ASSIGN(const auto model, file.get_string("tokenizer.ggml.model"));
  HfTokenizer out;
  if (model == "none") return out;
  MK_ASSIGN(const Tokenizer tokenizer, Tokenizer::from_gguf(file));
  out.chat_template = tokenizer.chat_template();
  out.bos = tokenizer.bos();
  out.add_bos = tokenizer.add_bos();
  if (out.bos) out.bos_text = tokenizer.token_bytes(*out.bos);
  if (tokenizer.eos()) out.eos_text = tokenizer.token_bytes(*tokenizer.eos());
  for (const auto id : {tokenizer.eos(), tokenizer.eot()}) {
    if (id && std::find(out.ends.begin(), out.ends.end(), *id) == out.ends.end()) {
      out.ends.push_back(*id);
    }
  }
  if (model != "gpt2") {
    out.note = fmt::format(
        "the tokenizer is of kind '{}', which is not converted: take tokenizer.json from the "
        "model's own repository",
        model);
    return out;
  }
  MK_ASSIGN(out.tokenizer_json, tokenizer_json(file, out, tokenizer.pretokenizer_name()));
  MK_ASSIGN(const Tokenizer after,
            Tokenizer::from_json({.tokenizer_json = out.tokenizer_json.dump(),
                                  .tokenizer_config = {},
                                  .special_tokens_map = {},
                                  .generation_config = {},
                                  .chat_template = {}}));
  MK_TRY(check_same_tokenizer(tokenizer, after));
  return out;
}

Result<void> write_hf_tokenizer(const HfTokenizer& tokenizer, const std::filesystem::path& folder,
                                Json& config) {
  Json generation = Json::object();
  if (tokenizer.bos) {
    config.set("bos_token_id", *tokenizer.bos);
    generation.set("bos_token_id", *tokenizer.bos);
  }
  if (!tokenizer.ends.empty()) {
    config.set("eos_token_id", tokenizer.ends[0]);
    generation.set("eos_token_id", Json(Json::Array(tokenizer.ends.begin(), tokenizer.ends.end())));
  }
  const auto write = [&](const char* name, const std::string& text) {
    return write_file_atomic(folder / name, text);
  };
  MK_TRY(write("generation_config.json", generation.dump(2) + "\n"));
  if (!tokenizer.chat_template.empty()) {
    MK_TRY(write("chat_template.jinja", tokenizer.chat_template));
  }
  if (tokenizer.tokenizer_json.is_null()) return {};
  MK_TRY(write("tokenizer.json", tokenizer.tokenizer_json.dump(2) + "\n"));
  const Json roles =
      tokenizer_config_json(tokenizer.bos_text, tokenizer.eos_text, tokenizer.add_bos);
  return write("tokenizer_config.json", roles.dump(2) + "\n");
}

}  // namespace minke
