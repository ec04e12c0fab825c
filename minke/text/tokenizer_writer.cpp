#include "minke/text/tokenizer_writer.h"

#include <utility>

#include "minke/base/check.h"

namespace minke {
namespace {

Json byte_level() {
  return Json::object({{"type", "ByteLevel"},
                       {"add_prefix_space", false},
                       {"trim_offsets", true},
                       {"use_regex", false}});
}

Json pre_tokenizer_json(const Pretokenizer& row) {
  Json::Array parts;
  for (const SplitStep step : row.steps) {
    if (step == nullptr) break;
    parts.push_back(Json::object({{"type", "Split"},
                                  {"pattern", Json::object({{"Regex", split_regex(step)}})},
                                  {"behavior", "Isolated"},
                                  {"invert", false}}));
  }
  parts.push_back(byte_level());
  return Json::object({{"type", "Sequence"}, {"pretokenizers", std::move(parts)}});
}

Json post_processor_json(const ByteBpe& tokenizer) {
  if (!tokenizer.bos) return byte_level();
  const auto special = [&](int type) {
    return Json::object(
        {{"SpecialToken", Json::object({{"id", tokenizer.bos_text}, {"type_id", type}})}});
  };
  const auto sequence = [](const char* id, int type) {
    return Json::object({{"Sequence", Json::object({{"id", id}, {"type_id", type}})}});
  };
  Json tokens = Json::object();
  tokens.set(tokenizer.bos_text, Json::object({{"id", tokenizer.bos_text},
                                               {"ids", Json::array({*tokenizer.bos})},
                                               {"tokens", Json::array({tokenizer.bos_text})}}));
  return Json::object(
      {{"type", "TemplateProcessing"},
       {"single", Json::array({special(0), sequence("A", 0)})},
       {"pair", Json::array({special(0), sequence("A", 0), special(1), sequence("B", 1)})},
       {"special_tokens", std::move(tokens)}});
}

}  // namespace

Json added_token_json(std::string_view text, int64_t id, bool special) {
  return Json::object({{"id", id},
                       {"content", text},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", special}});
}

Json byte_bpe_json(ByteBpe tokenizer) {
  MK_CHECK(tokenizer.pretokenizer != nullptr, "byte_bpe_json: no pre-tokenizer");
  Json model = Json::object({{"type", "BPE"},
                             {"dropout", nullptr},
                             {"unk_token", nullptr},
                             {"continuing_subword_prefix", nullptr},
                             {"end_of_word_suffix", nullptr},
                             {"fuse_unk", false},
                             {"byte_fallback", false},
                             {"ignore_merges", tokenizer.pretokenizer->ignore_merges},
                             {"vocab", Json(std::move(tokenizer.vocab))},
                             {"merges", Json(std::move(tokenizer.merges))}});
  return Json::object({{"version", "1.0"},
                       {"truncation", nullptr},
                       {"padding", nullptr},
                       {"added_tokens", Json(std::move(tokenizer.added_tokens))},
                       {"normalizer", nullptr},
                       {"pre_tokenizer", pre_tokenizer_json(*tokenizer.pretokenizer)},
                       {"post_processor", post_processor_json(tokenizer)},
                       {"decoder", byte_level()},
                       {"model", std::move(model)}});
}

Json tokenizer_config_json(std::string_view bos_text, std::string_view eos_text, bool add_bos) {
  Json out = Json::object({{"tokenizer_class", "PreTrainedTokenizerFast"},
                           {"clean_up_tokenization_spaces", false},
                           {"add_bos_token", add_bos}});
  if (!bos_text.empty()) out.set("bos_token", bos_text);
  if (!eos_text.empty()) out.set("eos_token", eos_text);
  return out;
}

}  // namespace minke
