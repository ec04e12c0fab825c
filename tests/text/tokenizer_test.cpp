// Goal: ids come from merges, special tokens only from text that may name them, decoding gives the
// bytes back, and a file that contradicts itself is refused. Method: tiny vocabularies made here.
#include "minke/text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>

#include "minke/base/random.h"
#include "tests/text/tiny_vocabulary.h"

namespace minke {
namespace {

using Ids = std::vector<int32_t>;

Tokenizer make(const TinyVocabulary& vocabulary) {
  auto tokenizer = tokenizer_of(vocabulary);
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

MarkedText marked(std::string text, std::vector<TextRange> untrusted) {
  return {std::move(text), std::move(untrusted)};
}

TEST(Tokenizer, MergesApplyInTheOrderOfTheirRanks) {
  TinyVocabulary vocabulary;
  const int32_t bc = vocabulary.add_merge("b", "c");
  const int32_t ab = vocabulary.add_merge("a", "b");
  const int32_t abc = vocabulary.add_merge("a", "bc");
  const Tokenizer tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer.encode("abc"), Ids{abc}) << "bc was learned before ab";
  EXPECT_EQ(tokenizer.encode("abd"), (Ids{ab, 'd'}));
  EXPECT_EQ(tokenizer.encode("bcab"), (Ids{bc, ab}));
  EXPECT_EQ(tokenizer.encode("a bc"), (Ids{'a', ' ', bc})) << "no merge across pieces";
  EXPECT_EQ(tokenizer.encode(""), Ids{});
}

TEST(Tokenizer, EqualMergesApplyFromTheLeft) {
  TinyVocabulary vocabulary;
  const int32_t aa = vocabulary.add_merge("a", "a");
  const Tokenizer tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer.encode("aaaaa"), (Ids{aa, aa, 'a'}));
}

TEST(Tokenizer, AnyBytesComeBackFromTheirIds) {
  TinyVocabulary vocabulary;
  vocabulary.add_merge("\xE4", "\xB8");
  vocabulary.add_merge(" ", "\xF0");
  vocabulary.add_merge("\xFF", "\xFF");
  vocabulary.add_control("<|end|>");
  const Tokenizer tokenizer = make(vocabulary);
  Random random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random.below(40), '\0');
    for (char& c : text) {
      c = static_cast<char>(random.below(4) == 0 ? random.next()
                                                 : "\xE4\xB8\xAD \xF0\xFF"[random.below(6)]);
    }
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
}

TEST(Tokenizer, ControlTokensInPlainTextStayText) {
  TinyVocabulary vocabulary;
  const int32_t end = vocabulary.add_control("<|im_end|>");
  const Tokenizer tokenizer = make(vocabulary);
  const std::string text = "a<|im_end|>b";
  const Ids as_text = tokenizer.encode(text);
  EXPECT_EQ(as_text.size(), text.size());
  EXPECT_EQ(tokenizer.encode(text, {.parse_special = true}), (Ids{'a', end, 'b'}));
  EXPECT_TRUE(tokenizer.is_control(end));
  EXPECT_FALSE(tokenizer.is_control('a'));
  EXPECT_EQ(tokenizer.token_bytes(end), "<|im_end|>");
}

TEST(Tokenizer, NoMergeLeadsToAControlToken) {
  TinyVocabulary vocabulary;
  const int32_t control = vocabulary.add_control("ab");
  vocabulary.merges.push_back("a b");
  const Tokenizer tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer.encode("ab"), (Ids{'a', 'b'}));
  EXPECT_EQ(tokenizer.encode("ab", {.parse_special = true}), Ids{control});
}

TEST(Tokenizer, ControlTokensCountOnlyWhereEveryByteIsTrusted) {
  TinyVocabulary vocabulary;
  const int32_t end = vocabulary.add_control("<e>");
  const Tokenizer tokenizer = make(vocabulary);
  const std::string text = "<e><e><e>";
  const Ids plain = {'<', 'e', '>'};
  const auto joined = [](std::initializer_list<Ids> parts) {
    Ids all;
    for (const Ids& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  };
  EXPECT_EQ(tokenizer.encode(marked(text, {})), (Ids{end, end, end}));
  EXPECT_EQ(tokenizer.encode(marked(text, {{3, 6}})), joined({{end}, plain, {end}}));
  for (size_t byte = 3; byte < 6; ++byte) {
    EXPECT_EQ(tokenizer.encode(marked(text, {{byte, byte + 1}})), joined({{end}, plain, {end}}));
  }
  EXPECT_EQ(tokenizer.encode(marked(text, {{0, 1}, {8, 9}})), joined({plain, {end}, plain}));
  EXPECT_EQ(tokenizer.encode(marked(text, {{2, 4}})), joined({plain, plain, {end}}));
  EXPECT_EQ(tokenizer.encode(marked(text, {{4, 4}})), (Ids{end, end, end})) << "an empty range";
  EXPECT_EQ(tokenizer.encode(marked(text, {{0, 9}})), tokenizer.encode(text));
}

TEST(Tokenizer, MarkedTextFromTwoWritersIsOnePieceForMerges) {
  TinyVocabulary vocabulary;
  const int32_t ab = vocabulary.add_merge("a", "b");
  const int32_t end = vocabulary.add_control("<e>");
  const Tokenizer tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer.encode(marked("ab<e>", {{1, 2}})), (Ids{ab, end}));
}

TEST(Tokenizer, TheLongestSpecialTokenWinsAndUserDefinedOnesCountEverywhere) {
  TinyVocabulary vocabulary;
  const int32_t t = vocabulary.add_user_defined("<t");
  const int32_t think = vocabulary.add_user_defined("<think>");
  const int32_t more = vocabulary.add_control("<think>more");
  const int32_t spaces = vocabulary.add_user_defined("  ");
  const Tokenizer tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer.encode("<think>"), Ids{think});
  EXPECT_EQ(tokenizer.encode("<thin"), (Ids{t, 'h', 'i', 'n'}));
  EXPECT_EQ(tokenizer.encode("<think>more").front(), think) << "a shorter one where it may not";
  EXPECT_EQ(tokenizer.encode("<think>more", {.parse_special = true}), Ids{more});
  EXPECT_EQ(tokenizer.encode("a  b"), (Ids{'a', spaces, 'b'}));
  EXPECT_EQ(tokenizer.token_bytes(spaces), "  ") << "stands as written, not in GPT-2's alphabet";
  EXPECT_FALSE(tokenizer.is_control(think));
}

TEST(Tokenizer, AStepThatIsNoTokenFallsApartIntoBytes) {
  TinyVocabulary vocabulary;
  vocabulary.merges.push_back("a b");  // "ab" itself is no token.
  const int32_t abc = vocabulary.add_merge("ab", "c");
  const Tokenizer tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer.encode("abc"), Ids{abc});
  EXPECT_EQ(tokenizer.encode("abd"), (Ids{'a', 'b', 'd'}));
}

TEST(Tokenizer, BytesWithoutATokenAreLeftOut) {
  TinyVocabulary vocabulary;
  vocabulary.tokens['x'] = "unused";
  const Tokenizer tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer.encode("axb"), (Ids{'a', 'b'}));
}

TEST(Tokenizer, EndsOfGenerationAreKnownByKeyAndByName) {
  TinyVocabulary vocabulary;
  const int32_t named = vocabulary.add_control("<|im_end|>");
  const int32_t normal = vocabulary.add("</s>", 1);
  const int32_t other = vocabulary.add_control("<|other|>");
  const int32_t start = vocabulary.add_control("<|im_start|>");
  GgufWriter writer = vocabulary.writer();
  writer.add("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(other));
  writer.add("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(start));
  writer.add("tokenizer.ggml.add_bos_token", true);
  writer.add("tokenizer.chat_template", "{{ x }}");
  const auto tokenizer = tokenizer_of(writer);
  ASSERT_TRUE(tokenizer) << tokenizer.error().message;
  EXPECT_EQ(tokenizer->end_of_generation_ids(), (Ids{named, normal, other}));
  EXPECT_TRUE(tokenizer->is_end_of_generation(named));
  EXPECT_FALSE(tokenizer->is_end_of_generation(start));
  EXPECT_EQ(tokenizer->eot(), named);
  EXPECT_EQ(tokenizer->eos(), other);
  EXPECT_EQ(tokenizer->bos(), start);
  EXPECT_TRUE(tokenizer->add_bos());
  EXPECT_EQ(tokenizer->chat_template(), "{{ x }}");
  EXPECT_TRUE(tokenizer->is_control(normal)) << "its name makes it one";
  EXPECT_EQ(tokenizer->find("<|other|>"), other);
  EXPECT_EQ(tokenizer->find("a"), 'a');
  EXPECT_EQ(tokenizer->find("none"), std::nullopt);
}

TEST(Tokenizer, IdsOutsideTheVocabularyGiveNothing) {
  const Tokenizer tokenizer = make(TinyVocabulary());
  EXPECT_EQ(tokenizer.vocab_size(), 256);
  const Ids ids = {-1, 'a', 256, INT32_MAX, INT32_MIN, 'b'};
  EXPECT_EQ(tokenizer.decode(ids), "ab");
  EXPECT_FALSE(tokenizer.is_control(-1));
  EXPECT_FALSE(tokenizer.is_end_of_generation(256));
}

void expect_refused(const Result<Tokenizer>& result, ErrorCode code, std::string_view message) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, code);
  EXPECT_NE(result.error().message.find(message), std::string::npos) << result.error().message;
}

TEST(Tokenizer, WhatMinkeLacksIsNamed) {
  TinyVocabulary vocabulary;
  vocabulary.pre = "klingon";
  expect_refused(tokenizer_of(vocabulary), ErrorCode::kFailed,
                 "tokenizer.ggml.pre is 'klingon', minke has gpt-2, smollm");
  vocabulary.model = "t5";
  expect_refused(tokenizer_of(vocabulary), ErrorCode::kFailed, "tokenizer.ggml.model is 't5'");
  expect_refused(tokenizer_of(GgufWriter()), ErrorCode::kCorrupt,
                 "'tokenizer.ggml.model' is missing");
}

TEST(Tokenizer, AFileThatContradictsItselfIsRefused) {
  TinyVocabulary vocabulary;
  vocabulary.types.pop_back();
  expect_refused(tokenizer_of(vocabulary), ErrorCode::kCorrupt,
                 "token_type has 255 entries when it should have 256");
  for (const std::string merge : {"", "ab", " ", "a ", " b"}) {
    TinyVocabulary broken;
    broken.merges = {"a b", merge};
    expect_refused(tokenizer_of(broken), ErrorCode::kCorrupt, "merge 1 is no pair");
  }
  TinyVocabulary empty;
  empty.tokens.clear();
  empty.types.clear();
  expect_refused(tokenizer_of(empty), ErrorCode::kCorrupt, "0 tokens");
  GgufWriter writer = TinyVocabulary().writer();
  writer.add("tokenizer.ggml.eos_token_id", uint32_t{256});
  expect_refused(tokenizer_of(writer), ErrorCode::kCorrupt, "eos_token_id is 256");
  GgufWriter none = TinyVocabulary().writer();
  none.add("tokenizer.ggml.eos_token_id", ~uint32_t{0});
  EXPECT_EQ(tokenizer_of(none)->eos(), std::nullopt);
}

TEST(Tokenizer, AMegabyteOfOneByteTakesNoQuadraticTime) {
  TinyVocabulary vocabulary;
  std::string run = "a";
  for (int i = 0; i < 8; ++i, run += run) vocabulary.add_merge(run, run);
  vocabulary.add_control("<|a|>");
  const Tokenizer tokenizer = make(vocabulary);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, 'a')).size(), (1u << 20) / 256);
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, '<')).size(), 1u << 20);
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, '\n')).size(), 1u << 20);
  const auto spent = std::chrono::steady_clock::now() - begin;
  // Quadratic would be 10^12 steps: minutes. Linear takes half a second under a sanitizer.
  EXPECT_LT(std::chrono::duration<double>(spent).count(), 20.0);
}

}  // namespace
}  // namespace minke
