// Goal: a tokenizer.json gives the tokenizer that it describes, or an error that names what minke
// does not have; hostile ones end soon. Method: small documents made here, compared with the GGUF
// of the same vocabulary; tokenizer_hf_test.cpp compares with Hugging Face's program.
#include <gtest/gtest.h>

#include <chrono>

#include "minke/base/json.h"
#include "minke/base/random.h"
#include "minke/text/normal_form.h"
#include "tests/text/tiny_vocabulary.h"

namespace minke {
namespace {

using Ids = std::vector<int32_t>;

Json parsed(std::string_view text) { return *parse_json(text); }

/// The document of a TinyVocabulary with smollm's splits.
Json document_of(const TinyVocabulary& vocabulary) {
  Json vocab = Json::object();
  Json added = Json::array();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const auto number = static_cast<int64_t>(id);
    if (vocabulary.types[id] == 1) {
      vocab.set(vocabulary.tokens[id], number);
    } else {
      added.push(Json::object({{"id", number},
                               {"content", vocabulary.tokens[id]},
                               {"special", vocabulary.types[id] == 3}}));
    }
  }
  Json merges = Json::array();
  for (const std::string& merge : vocabulary.merges) merges.push(merge);
  return Json::object(
      {{"version", "1.0"},
       {"added_tokens", added},
       {"normalizer", nullptr},
       {"pre_tokenizer", parsed(R"({"type": "Sequence", "pretokenizers": [
               {"type": "Digits", "individual_digits": true},
               {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}]})")},
       {"post_processor", nullptr},
       {"decoder", parsed(R"({"type": "ByteLevel"})")},
       {"model", Json::object({{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}})}});
}

Result<Tokenizer> load(const Json& document, TokenizerTexts texts = {}) {
  texts.tokenizer_json = document.dump();
  return Tokenizer::from_json(texts);
}

Tokenizer make(const Json& document, TokenizerTexts texts = {}) {
  auto tokenizer = load(document, std::move(texts));
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

TinyVocabulary small() {
  TinyVocabulary vocabulary;
  vocabulary.add_merge("a", "b");
  vocabulary.add_merge(" ", "ab");
  vocabulary.add_merge("\xC3", "\xA9");
  vocabulary.add_control("<s>");
  vocabulary.add_control("</s>");
  vocabulary.add_user_defined("<think>");
  return vocabulary;
}

TEST(TokenizerJson, IdsEqualThoseOfTheGguf) {
  const TinyVocabulary vocabulary = small();
  const Tokenizer json = make(document_of(vocabulary));
  const auto gguf = tokenizer_of(vocabulary);
  EXPECT_EQ(json.vocab_size(), gguf->vocab_size());
  EXPECT_EQ(json.pretokenizer_name(), "smollm");
  const std::string_view parts[] = {"a", "ab", " ", "é", "1", "<s>", "<think>", "</s>", "\n", "'s"};
  Random random(3);
  for (int round = 0; round < 1000; ++round) {
    std::string text;
    for (uint64_t i = random.below(10); i-- > 0;) text += parts[random.below(std::size(parts))];
    for (const bool special : {false, true}) {
      ASSERT_EQ(json.encode(text, {.parse_special = special}),
                gguf->encode(text, {.parse_special = special}))
          << text;
    }
    ASSERT_EQ(json.decode(json.encode(text)), text);
  }
}

TEST(TokenizerJson, MergesMayBePairs) {
  Json document = document_of(small());
  const Tokenizer before = make(document);
  Json pairs = Json::array();
  for (const Json& merge : document.find("model")->find("merges")->as_array()) {
    const std::string& text = merge.as_string();
    const size_t space = text.find(' ');
    pairs.push(Json::array({text.substr(0, space), text.substr(space + 1)}));
  }
  Json model = *document.find("model");
  model.set("merges", pairs);
  document.set("model", model);
  EXPECT_EQ(make(document).encode("ab ab"), before.encode("ab ab"));
}

TEST(TokenizerJson, AWholePieceComesBeforeMergesWhereTheModelSaysSo) {
  TinyVocabulary vocabulary = small();
  const int32_t whole = vocabulary.add("xyz", 1);
  Json document = document_of(vocabulary);
  EXPECT_EQ(make(document).encode("xyz"), (Ids{'x', 'y', 'z'}));
  Json model = *document.find("model");
  model.set("ignore_merges", true);
  document.set("model", model);
  EXPECT_EQ(make(document).encode("xyz"), Ids{whole});
}

TEST(TokenizerJson, SpecialTokensOfTextStayTextWhateverTheFileCallsThem) {
  TinyVocabulary vocabulary = small();
  const int32_t role = vocabulary.add_user_defined("<｜User｜>");
  const int32_t turn = vocabulary.add_user_defined("<|im_start|>");
  const Tokenizer tokenizer = make(document_of(vocabulary));
  for (const std::string text : {"<｜User｜>", "<|im_start|>", "<s>"}) {
    EXPECT_EQ(tokenizer.encode(text).size(), text.size()) << text;
  }
  EXPECT_EQ(tokenizer.encode("<｜User｜>", {.parse_special = true}), Ids{role});
  EXPECT_EQ(tokenizer.encode(MarkedText{"<|im_start|>", {}}), Ids{turn});
  EXPECT_TRUE(tokenizer.is_control(role));
}

TEST(TokenizerJson, AddedTokensTakeWhiteSpaceAndStandAlone) {
  Json document = document_of(small());
  document.set("added_tokens", parsed(R"([{"id": 300, "content": "<l>", "lstrip": true},
                          {"id": 301, "content": "<r>", "rstrip": true},
                          {"id": 302, "content": "word", "single_word": true},
                          {"id": 97, "content": "a", "special": false}])"));
  const Tokenizer tokenizer = make(document);
  EXPECT_EQ(tokenizer.vocab_size(), 303);
  EXPECT_EQ(tokenizer.encode("b \n<l> b"), (Ids{'b', 300, ' ', 'b'}));
  EXPECT_EQ(tokenizer.encode(" <l>"), (Ids{300}));
  EXPECT_EQ(tokenizer.encode("b <r> \n b"), (Ids{'b', ' ', 301, 'b'}));
  EXPECT_EQ(tokenizer.encode("word,word"), (Ids{302, ',', 302}));
  EXPECT_EQ(tokenizer.encode("words").size(), 5u);
  EXPECT_EQ(tokenizer.encode("éword").size(), 5u);
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{'a', 'b'})) << "an added token cuts before merges";
  EXPECT_EQ(tokenizer.token_bytes(299), "") << "an id between";
}

TEST(TokenizerJson, NormalFormCComesBeforeTheMerges) {
  Json document = document_of(small());
  document.set("normalizer", parsed(R"({"type": "NFC"})"));
  const Tokenizer tokenizer = make(document);
  const Ids composed = tokenizer.encode("xé!");
  EXPECT_EQ(composed.size(), 3u);
  EXPECT_EQ(tokenizer.encode("xe\u0301!"), composed);
  EXPECT_EQ(tokenizer.encode("\xFF\xFE").size(), 2u) << "bytes that are no text stay";
}

TEST(TokenizerJson, NormalFormCOfPartsIsThatOfTheWhole) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"", ""},
      {"plain", "plain"},
      {"e\u0301", "é"},
      {"é\u0323", "\u1EB9\u0301"},
      {"\u212B\u2126", "Å\u03A9"},
      {"\u1112\u1161\u11AB한\u11AB", "한한\u11AB"},
      {"하\u11AB", "한"},
      {"か\u3099き", "がき"},
      {"a\xFF\u0301 e\u0301", "a\xFF\u0301 é"},
      {"\u2000x", "\u2002x"},
      {"\U0001D15E", "\U0001D157\U0001D165"},
      {"=\u0338中\uF900", "\u2260中\u8C48"},
      {"\u0344", "\u0308\u0301"},
      {"\u0301e\u0301", "\u0301é"},
  };
  for (const auto& [from, to] : cases) {
    std::string out = "x";
    append_nfc(out, from);
    EXPECT_EQ(out, "x" + std::string(to));
    EXPECT_TRUE(from == to || !is_surely_nfc(from)) << from;
  }
}

TEST(TokenizerJson, SentencePieceAsMergesAndBytes) {
  Json vocab = parsed(R"({"<unk>": 0, "<s>": 1, "</s>": 2, "▁": 3, "a": 4, "b": 5, "▁a": 6,
                          "ab": 7, "<0xC3>": 8, "<0xA9>": 9})");
  Json document =
      Json::object({{"added_tokens", parsed(R"([{"id": 0, "content": "<unk>", "special": true},
                                   {"id": 1, "content": "<s>", "special": true}])")},
                    {"normalizer", parsed(R"({"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})")},
                    {"pre_tokenizer", nullptr},
                    {"decoder", parsed(R"({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})")},
                    {"post_processor", parsed(R"({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
            "special_tokens": {}})")},
                    {"model", Json::object({{"type", "BPE"},
                                            {"unk_token", "<unk>"},
                                            {"fuse_unk", true},
                                            {"byte_fallback", true},
                                            {"vocab", vocab},
                                            {"merges", parsed(R"(["▁ a", "a b"])")}})}});
  const Tokenizer tokenizer = make(document);
  EXPECT_EQ(tokenizer.encode("ab a"), (Ids{6, 5, 6}));
  EXPECT_EQ(tokenizer.decode(Ids{6, 5, 6}), "ab a");
  EXPECT_EQ(tokenizer.encode("é"), (Ids{3, 8, 9}));
  EXPECT_EQ(tokenizer.encode("中x文a"), (Ids{3, 0, 4})) << "one unknown token for three characters";
  EXPECT_FALSE(tokenizer.is_control(0)) << "text leads there";
  EXPECT_EQ(tokenizer.encode("<unk>").front(), 3) << "but not by its name";
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_TRUE(tokenizer.add_bos());
  document.set("normalizer", nullptr);
  document.set("pre_tokenizer", parsed(R"({"type": "Metaspace", "replacement": "▁",
                                           "prepend_scheme": "first", "split": false})"));
  const Tokenizer metaspace = make(document);
  EXPECT_EQ(metaspace.encode("a"), Ids{6});
  EXPECT_EQ(metaspace.encode(" a"), Ids{6}) << "no second space";
  EXPECT_EQ(metaspace.encode("a<s>a", {.parse_special = true}), (Ids{6, 1, 4}));
  EXPECT_EQ(metaspace.decode(Ids{6, 1, 4}), "a<s>a");
}

TEST(TokenizerJson, TheFilesBesideItNameTokensAndTemplate) {
  const Json document = document_of(small());
  TokenizerTexts texts;
  texts.tokenizer_config = R"({"bos_token": {"content": "<s>"}, "add_bos_token": true,
      "chat_template": [{"name": "tool_use", "template": "T"}, 
                        {"name": "default", "template": "D"}]})";
  texts.special_tokens_map = R"({"bos_token": "</s>", "eos_token": "</s>"})";
  texts.generation_config = R"({"eos_token_id": [98, 99, 100000]})";
  const Tokenizer tokenizer = make(document, texts);
  EXPECT_EQ(tokenizer.bos(), tokenizer.find("<s>"));
  EXPECT_EQ(tokenizer.eos(), tokenizer.find("</s>"));
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_TRUE(tokenizer.is_end_of_generation(98));
  EXPECT_TRUE(tokenizer.is_end_of_generation(*tokenizer.eos()));
  EXPECT_EQ(tokenizer.chat_template(), "D");
  texts.chat_template = "J";
  EXPECT_EQ(make(document, texts).chat_template(), "J");
  texts.tokenizer_config = R"({"bos_token": "<none>"})";
  EXPECT_EQ(load(document, texts).error().message,
            "tokenizer.json: bos_token is '<none>', which is no token");
  texts.tokenizer_config = "[]";
  EXPECT_EQ(load(document, texts).error().code, ErrorCode::kCorrupt);
}

void expect_refused(const Json& document, std::string_view message) {
  const auto tokenizer = load(document);
  ASSERT_FALSE(tokenizer) << message;
  EXPECT_NE(tokenizer.error().message.find(message), std::string::npos)
      << tokenizer.error().message;
}

TEST(TokenizerJson, WhatMinkeLacksIsNamed) {
  const std::pair<std::string_view, std::string_view> parts[] = {
      {"normalizer", R"({"type": "Lowercase"})"},
      {"normalizer", R"({"type": "Replace", "pattern": {"String": "x"}, "content": "y"})"},
      {"pre_tokenizer",
       R"({"type": "Split", "pattern": {"Regex": "\\w+"}, "behavior": "Isolated"})"},
      {"pre_tokenizer",
       R"({"type": "Split", "behavior": "Removed", "pattern": {"Regex": "\\p{N}"}})"},
      {"pre_tokenizer", R"({"type": "BertPreTokenizer"})"},
      {"pre_tokenizer", R"({"type": "Metaspace", "replacement": "_"})"},
      {"post_processor", R"({"type": "BertProcessing"})"},
      {"decoder", R"({"type": "WordPiece"})"},
  };
  for (const auto& [key, text] : parts) {
    Json document = document_of(small());
    const Json part = parsed(text);
    document.set(key, part);
    expect_refused(document, std::string(key));
    expect_refused(document, part.find("type")->as_string());
  }
  Json document = document_of(small());
  document.set("pre_tokenizer", nullptr);
  expect_refused(document, "neither ByteLevel nor");
  document = document_of(small());
  document.set("quantum", 1);
  expect_refused(document, "'quantum'");
  document = document_of(small());
  Json model = *document.find("model");
  model.set("type", "Unigram");
  document.set("model", model);
  expect_refused(document, "model.type is 'Unigram', minke has BPE");
}

TEST(TokenizerJson, ADocumentThatContradictsItselfIsRefused) {
  const auto with_model = [](std::string_view key, std::string_view value) {
    Json document = document_of(small());
    Json model = *document.find("model");
    model.set(key, parsed(value));
    document.set("model", model);
    return document;
  };
  expect_refused(with_model("merges", R"(["a"])"), "is no pair");
  expect_refused(with_model("merges", R"([["a", "b", "c"]])"), "is no pair");
  expect_refused(with_model("merges", R"([["a", ""]])"), "is no pair");
  expect_refused(with_model("merges", R"(["q z"])"), "'qz' of model.merges is not in model.vocab");
  expect_refused(with_model("merges", "{}"), "model.merges is no array");
  expect_refused(with_model("vocab", R"({"a": 0, "b": 0})"), "id 0 is both 'a' and 'b'");
  expect_refused(with_model("vocab", R"({"a": -1})"), "the id of 'a' is -1");
  expect_refused(with_model("vocab", R"({"a": 2000000000})"), "the id of 'a' is 2000000000");
  expect_refused(with_model("vocab", R"({"a": "0"})"), "the id of 'a'");
  expect_refused(with_model("unk_token", R"("<unk>")"), "model.unk_token '<unk>'");
  expect_refused(with_model("byte_fallback", "1"), "model.byte_fallback is integer");
  Json document = document_of(small());
  document.set("added_tokens", parsed(R"([{"id": 97, "content": "other"}])"));
  expect_refused(document, "id 97 is both 'a' and 'other'");
  document.set("added_tokens", parsed(R"([{"id": 97}])"));
  expect_refused(document, "no 'content'");
  document.set("model", nullptr);
  expect_refused(document, "'model' is null");
}

TEST(TokenizerJson, BombsEndInTime) {
  const auto repeated = [](std::string_view part, size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i) text += part;
    return text;
  };
  const std::string bombs[] = {
      repeated("[", 1 << 20),
      repeated(R"({"normalizer":)", 1 << 16),
      "[" + repeated("[],", 4 << 20) + "0]",
      R"({"model": ")" + std::string(41 << 20, 'x') + "\"}",
      R"({"added_tokens": [)" + repeated("1,", 1 << 20) + "1]}",
      R"({"normalizer": {"type": "Sequence", "normalizers": [)" +
          repeated(R"({"type":"NFC"},)", 1 << 18) + R"({"type": "X"}]}, "model": {}})",
      R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [)" +
          repeated(R"({"type":"Digits"},)", 1 << 16) + R"({"type": "X"}]}, "model": {}})",
  };
  for (const std::string& bomb : bombs) {
    const auto begin = std::chrono::steady_clock::now();
    TokenizerTexts texts;
    texts.tokenizer_json = bomb;
    const auto tokenizer = Tokenizer::from_json(texts);
    const auto spent = std::chrono::steady_clock::now() - begin;
    ASSERT_FALSE(tokenizer) << bomb.substr(0, 40);
    EXPECT_LT(tokenizer.error().message.size(), 2000u);
    // 0.3 s at most; a sanitizer on a busy machine takes ten times as long.
    EXPECT_LT(std::chrono::duration<double>(spent).count(), 10.0) << bomb.substr(0, 40);
  }
}

}  // namespace
}  // namespace minke
