#include <algorithm>
#include <iterator>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "minke/base/json.h"
#include "minke/text/json_members.h"
#include "minke/text/json_pipeline.h"
#include "minke/text/tokenizer.h"
#include "minke/text/tokenizer_builder.h"
#include "minke/text/tokenizer_config.h"
#include "minke/text/tokenizer_ends.h"

namespace minke {
namespace {

/// The largest tokenizer.json known, Gemma 3's, has 33 MB and 1.8 million values.
constexpr JsonLimits kLimits = {
    .bytes_max = size_t{40} << 20, .depth_max = 64, .values_max = size_t{1} << 21};

constexpr std::string_view kKeys[] = {"version",        "truncation", "padding",
                                      "added_tokens",   "normalizer", "pre_tokenizer",
                                      "post_processor", "decoder",    "model"};

/// Fills a tokenizer from a parsed tokenizer.json, which must outlive it, in the order of load().
class JsonTokenizerLoader {
 public:
  JsonTokenizerLoader(const Json& root, const Json& model, JsonPipeline pipeline)
      : root_(root),
        model_(model),
        pipeline_(std::move(pipeline)),
        builder_(!pipeline_.byte_level),
        data_(builder_.data()) {}

  Result<std::unique_ptr<TokenizerData>> load(const TokenizerTexts& texts) {
    MK_TRY(check_model());
    MK_TRY(read_vocabulary());
    MK_TRY(read_added_tokens());
    MK_TRY(builder_.add_tokens(entries_));
    MK_TRY(read_merges());
    MK_TRY(read_split());
    MK_TRY(read_roles(texts));
    return builder_.finish();
  }

 private:
  Result<void> check_model() {
    MK_ASSIGN(const auto type, string_or(model_, "model", "type", "BPE"));
    if (type != "BPE") {
      return fail(ErrorCode::kFailed, "tokenizer.json: model.type is '{}', minke has BPE", type);
    }
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      MK_ASSIGN(const auto text, string_or(model_, "model", key, ""));
      if (text.empty()) continue;
      return fail(ErrorCode::kFailed, "tokenizer.json: model.{} is '{}', minke has none", key,
                  text.substr(0, 40));
    }
    const Json* dropout = model_.find("dropout");
    if (dropout != nullptr && !dropout->is_null() &&
        !(dropout->is_number() && dropout->as_double() == 0)) {
      return fail(ErrorCode::kFailed, "tokenizer.json: model.dropout is {}, minke has none",
                  dropout->dump().substr(0, 40));
    }
    MK_ASSIGN(data_.pretokenizer.ignore_merges, bool_or(model_, "model", "ignore_merges", false));
    MK_ASSIGN(data_.fuse_unknown, bool_or(model_, "model", "fuse_unk", false));
    MK_ASSIGN(byte_fallback_, bool_or(model_, "model", "byte_fallback", false));
    return {};
  }

  Result<void> place(std::string_view text, const Json& id_value, TokenEntry entry) {
    const int64_t id = id_value.is_int() ? id_value.as_int() : -1;
    if (id < 0 || id >= static_cast<int64_t>(TokenizerBuilder::kVocabMax)) {
      return fail(ErrorCode::kCorrupt,
                  "tokenizer.json: the id of '{}' is {}, expected an integer from 0 to {}",
                  text.substr(0, 40), id_value.dump().substr(0, 40),
                  TokenizerBuilder::kVocabMax - 1);
    }
    const auto at = static_cast<size_t>(id);
    if (at >= entries_.size()) entries_.resize(at + 1);
    if (!entries_[at].text.empty() && entries_[at].text != text) {
      return fail(ErrorCode::kCorrupt, "tokenizer.json: id {} is both '{}' and '{}'", id,
                  entries_[at].text.substr(0, 40), text.substr(0, 40));
    }
    entry.text = text;
    entries_[at] = entry;
    return {};
  }

  Result<void> read_vocabulary() {
    MK_ASSIGN(const auto unknown, string_or(model_, "model", "unk_token", ""));
    const Json* vocabulary = model_.find("vocab");
    if (vocabulary == nullptr || !vocabulary->is_object()) {
      return fail(ErrorCode::kCorrupt, "tokenizer.json: model.vocab is no object of ids");
    }
    id_of_.reserve(vocabulary->as_object().size());
    for (const auto& [text, id] : vocabulary->as_object()) {
      TokenEntry entry;
      const bool is_byte = byte_fallback_ && text.size() == 6 && text.starts_with("<0x");
      if (is_byte) entry.kind = TokenKind::kByte;
      if (!unknown.empty() && text == unknown) entry.kind = TokenKind::kUnknown;
      MK_TRY(place(text, id, entry));
      id_of_.emplace(text, static_cast<int32_t>(id.as_int()));
    }
    if (unknown.empty()) return {};
    const auto found = id_of_.find(unknown);
    if (found == id_of_.end()) {
      return fail(ErrorCode::kCorrupt, "tokenizer.json: model.unk_token '{}' is not in model.vocab",
                  unknown.substr(0, 40));
    }
    data_.unknown = found->second;
    return {};
  }

  Result<void> read_added_tokens() {
    const Json* added = root_.find("added_tokens");
    if (added == nullptr || added->is_null()) return {};
    if (!added->is_array()) {
      return fail(ErrorCode::kCorrupt, "tokenizer.json: added_tokens is {}, expected an array",
                  added->kind());
    }
    for (const Json& token : added->as_array()) {
      const Json* content = token.find("content");
      const Json* id = token.find("id");
      if (content == nullptr || !content->is_string() || id == nullptr) {
        return fail(ErrorCode::kCorrupt,
                    "tokenizer.json: an entry of added_tokens has no 'content' or 'id': {}",
                    token.dump().substr(0, 80));
      }
      const std::string& text = content->as_string();
      if (text.empty()) continue;
      TokenEntry entry;
      constexpr std::string_view kWhere = "added_tokens";
      MK_ASSIGN(const bool special, bool_or(token, kWhere, "special", false));
      entry.kind = special ? TokenKind::kControl : TokenKind::kUserDefined;
      MK_ASSIGN(entry.lstrip, bool_or(token, kWhere, "lstrip", false));
      MK_ASSIGN(entry.rstrip, bool_or(token, kWhere, "rstrip", false));
      MK_ASSIGN(entry.single_word, bool_or(token, kWhere, "single_word", false));
      // A text that the model has keeps the model's id. The unknown token stays what it is: text
      // may lead to it, which no control token allows.
      const auto known = id_of_.find(text);
      if (known != id_of_.end() && data_.unknown == known->second) entry.kind = TokenKind::kUnknown;
      MK_TRY(place(text, known == id_of_.end() ? *id : Json(int64_t{known->second}), entry));
    }
    return {};
  }

  Result<void> read_merges() {
    const Json* merges = model_.find("merges");
    if (merges == nullptr || !merges->is_array()) {
      return fail(ErrorCode::kCorrupt, "tokenizer.json: model.merges is no array");
    }
    builder_.reserve_merges(merges->as_array().size());
    std::string both;
    for (const Json& merge : merges->as_array()) {
      std::string_view left;
      std::string_view right;
      if (merge.is_string()) {
        const std::string_view text = merge.as_string();
        const size_t space = std::min(text.find(' '), text.size());
        left = text.substr(0, space);
        right = text.substr(std::min(space + 1, text.size()));
      } else if (merge.is_array() && merge.as_array().size() == 2 &&
                 merge.as_array()[0].is_string() && merge.as_array()[1].is_string()) {
        left = merge.as_array()[0].as_string();
        right = merge.as_array()[1].as_string();
      }
      if (left.empty() || right.empty()) {
        return fail(ErrorCode::kCorrupt,
                    "tokenizer.json: {} in model.merges is no pair, expected \"a b\" or "
                    "[\"a\", \"b\"]",
                    merge.dump().substr(0, 80));
      }
      both.assign(left).append(right);
      for (const std::string_view part : {left, right, std::string_view(both)}) {
        if (id_of_.contains(part)) continue;
        return fail(ErrorCode::kCorrupt,
                    "tokenizer.json: '{}' of model.merges is not in model.vocab",
                    part.substr(0, 40));
      }
      builder_.add_merge(left, right);
    }
    return {};
  }

  Result<void> read_split() {
    data_.pretokenizer.steps = pipeline_.steps;
    data_.pretokenizer.name = "none";
    if (pipeline_.steps[0] != nullptr) {
      const Pretokenizer* row = find_pretokenizer(pipeline_.steps);
      data_.pretokenizer.name = row != nullptr ? row->name : "tokenizer.json";
    }
    data_.nfc = pipeline_.nfc;
    data_.drops_missing_bytes = true;
    data_.prefix = pipeline_.prefix;
    data_.prefix_unless_space = pipeline_.prefix_unless_space;
    return {};
  }

  Result<std::optional<int32_t>> id_of(std::string_view what, const std::string& text) const {
    if (text.empty()) return std::nullopt;
    if (const auto id = data_.find(text)) return id;
    return fail(ErrorCode::kCorrupt, "tokenizer.json: {} is '{}', which is no token", what,
                text.substr(0, 40));
  }

  Result<void> read_roles(const TokenizerTexts& texts) {
    MK_ASSIGN(const TokenizerConfig config, read_tokenizer_config(texts));
    data_.add_bos = config.add_bos.value_or(!pipeline_.bos_text.empty());
    data_.chat_template = config.chat_template;
    MK_ASSIGN(data_.bos, id_of("bos_token", config.bos_token));
    if (!data_.bos) {
      MK_ASSIGN(data_.bos, id_of("the post_processor's first token", pipeline_.bos_text));
    }
    MK_ASSIGN(data_.eos, id_of("eos_token", config.eos_token));
    NamedEnds ends;
    for (const int64_t id : config.eos_ids) {
      if (id >= 0 && id < data_.vocab_size()) ends.others.push_back(static_cast<int32_t>(id));
    }
    find_ends(ends, data_);
    return {};
  }

  const Json& root_;
  const Json& model_;
  JsonPipeline pipeline_;
  TokenizerBuilder builder_;
  TokenizerData& data_;
  bool byte_fallback_ = false;
  std::vector<TokenEntry> entries_;
  std::unordered_map<std::string_view, int32_t> id_of_;  // of model.vocab
};

}  // namespace

Result<Tokenizer> Tokenizer::from_json(const TokenizerTexts& texts) {
  MK_ASSIGN(const Json root, parse_file("tokenizer.json", texts.tokenizer_json, kLimits));
  for (const auto& [key, value] : root.as_object()) {
    if (std::find(std::begin(kKeys), std::end(kKeys), key) != std::end(kKeys)) continue;
    return fail(ErrorCode::kFailed, "tokenizer.json: minke does not know the member '{}'",
                key.substr(0, 40));
  }
  const Json* model = root.find("model");
  if (model == nullptr || !model->is_object()) {
    return fail(ErrorCode::kCorrupt, "tokenizer.json: 'model' is {}, expected an object",
                model == nullptr ? "missing" : model->kind());
  }
  MK_ASSIGN(JsonPipeline pipeline, read_pipeline(root));
  MK_ASSIGN(auto data, JsonTokenizerLoader(root, *model, std::move(pipeline)).load(texts));
  return Tokenizer(std::move(data));
}

}  // namespace minke
