// Goal: SentencePiece vocabularies encode as their definition says and lose nothing. Method: random
// vocabularies against the definition itself (join the neighbours whose text has the best score,
// the leftmost of equals); known cases of spaces, bytes and control tokens; files that lie.
#include <gtest/gtest.h>

#include <chrono>
#include <limits>
#include <map>

#include "minke/base/random.h"
#include "tests/text/tiny_vocabulary.h"

namespace minke {
namespace {

using Ids = std::vector<int32_t>;
constexpr std::string_view kSpace = "\u2581";

/// <unk> <s> </s> and 256 bytes (byte b is 3 + b), then what is added.
struct SpmVocabulary {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<int32_t> types;

  SpmVocabulary() {
    add("<unk>", 0, 2);
    add("<s>", 0, 3);
    add("</s>", 0, 3);
    for (int byte = 0; byte < 256; ++byte) add(fmt::format("<0x{:02X}>", byte), 0, 6);
  }
  int32_t add(std::string text, float score, int32_t type = 1) {
    tokens.push_back(std::move(text));
    scores.push_back(score);
    types.push_back(type);
    return static_cast<int32_t>(tokens.size()) - 1;
  }
  GgufWriter writer() const {
    GgufWriter writer;
    writer.add("tokenizer.ggml.model", "llama");
    writer.add_array("tokenizer.ggml.tokens", tokens);
    writer.add_array("tokenizer.ggml.scores", std::span<const float>(scores));
    writer.add_array("tokenizer.ggml.token_type", std::span<const int32_t>(types));
    return writer;
  }
};

Tokenizer make(const SpmVocabulary& vocabulary) {
  auto tokenizer = tokenizer_of(vocabulary.writer());
  EXPECT_TRUE(tokenizer) << tokenizer.error().message;
  return std::move(*tokenizer);
}

int32_t byte_id(char c) { return 3 + static_cast<uint8_t>(c); }

std::vector<std::string> characters(std::string_view text) {
  std::vector<std::string> out;
  for (; !text.empty(); text.remove_prefix(out.back().size())) {
    out.emplace_back(text.substr(0, static_cast<size_t>(utf8_next(text).bytes)));
  }
  return out;
}

Ids encode_by_definition(const SpmVocabulary& vocabulary, std::string_view text) {
  std::map<std::string, int32_t, std::less<>> id_of;
  for (size_t i = 259; i < vocabulary.tokens.size(); ++i) {
    id_of[vocabulary.tokens[i]] = static_cast<int32_t>(i);
  }
  std::string escaped(text.empty() ? "" : kSpace);
  for (const char c : text) escaped += c == ' ' ? std::string(kSpace) : std::string(1, c);
  std::vector<std::string> symbols = characters(escaped);
  while (true) {
    size_t best = symbols.size();
    float best_score = 0;
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = id_of.find(symbols[i] + symbols[i + 1]);
      if (found == id_of.end()) continue;
      const float score = vocabulary.scores[static_cast<size_t>(found->second)];
      if (best < symbols.size() && score <= best_score) continue;
      best = i;
      best_score = score;
    }
    if (best == symbols.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Ids ids;
  for (const std::string& symbol : symbols) {
    const auto found = id_of.find(symbol);
    if (found != id_of.end()) {
      ids.push_back(found->second);
      continue;
    }
    for (const char c : symbol == kSpace ? " " : symbol) ids.push_back(byte_id(c));
  }
  return ids;
}

TEST(TokenizerSpm, RandomVocabulariesEncodeAsTheDefinitionSays) {
  Random random(5);
  const std::string_view letters[] = {"a", "b", "\u2581", "é", "中"};
  for (int round = 0; round < 400; ++round) {
    SpmVocabulary vocabulary;
    std::map<std::string, bool> seen;
    for (uint64_t i = 3 + random.below(30); i-- > 0;) {
      std::string token;
      for (uint64_t k = 1 + random.below(4); k-- > 0;) token += letters[random.below(5)];
      // Few scores, so that some are equal.
      if (!seen.count(token)) vocabulary.add(token, -static_cast<float>(random.below(8)));
      seen[token] = true;
    }
    const Tokenizer tokenizer = make(vocabulary);
    for (int text_index = 0; text_index < 10; ++text_index) {
      std::string text;
      for (uint64_t k = random.below(text_index == 0 ? 200 : 12); k-- > 0;) {
        const uint64_t letter = random.below(5);
        text += letter == 2 ? " " : letters[letter];
      }
      ASSERT_EQ(tokenizer.encode(text), encode_by_definition(vocabulary, text)) << text;
      ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
    }
  }
}

TEST(TokenizerSpm, ASpaceStandsBeforeTheTextAndBehindEachSpecialToken) {
  SpmVocabulary vocabulary;
  const int32_t a = vocabulary.add("\u2581a", -1);
  const int32_t space = vocabulary.add("\u2581", -2);
  const int32_t sep = vocabulary.add("<sep>", 0, 4);
  const Tokenizer tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer.encode("a"), Ids{a});
  EXPECT_EQ(tokenizer.encode(" a"), (Ids{space, a}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
  EXPECT_EQ(tokenizer.encode("a<sep>a"), (Ids{a, sep, a}));
  EXPECT_EQ(tokenizer.encode("a</s>a", {.parse_special = true}), (Ids{a, 2, a}));
  for (const std::string text : {"a", " a", "  a ", "a<sep>a", "<sep> a<sep>", "a<sep>  a"}) {
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
  EXPECT_TRUE(tokenizer.add_bos());
  EXPECT_EQ(tokenizer.bos(), 1);
  EXPECT_EQ(tokenizer.eos(), 2);
  GgufWriter writer = vocabulary.writer();
  writer.add("tokenizer.ggml.add_space_prefix", false);
  writer.add("tokenizer.ggml.add_bos_token", false);
  const auto without = tokenizer_of(writer);
  EXPECT_EQ(without->encode(" a"), Ids{a});
  EXPECT_EQ(without->decode(Ids{a}), " a");
  EXPECT_FALSE(without->add_bos());
}

TEST(TokenizerSpm, AnyBytesComeBackFromTheirIds) {
  SpmVocabulary vocabulary;
  for (const char* token : {"\u2581", "a", "é", "aa", "\u2581a", "é\u2581"})
    vocabulary.add(token, 0);
  const Tokenizer tokenizer = make(vocabulary);
  Random random(7);
  for (int round = 0; round < 2000; ++round) {
    std::string text(random.below(40), '\0');
    for (char& c : text) {
      c = static_cast<char>(random.below(4) == 0 ? random.next()
                                                 : "a \xC3\xA9\xE2"[random.below(5)]);
    }
    if (text.find(kSpace) != std::string::npos) continue;
    ASSERT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  }
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("a\u2581a")), "a a") << "the one exception";
}

TEST(TokenizerSpm, TextNeverBecomesAControlOrByteToken) {
  SpmVocabulary vocabulary;
  for (const char* token : {"<", "s", ">", "/", "0", "x", "A", "</", "s>", "<s", "\u2581"}) {
    vocabulary.add(token, 0);
  }
  const Tokenizer tokenizer = make(vocabulary);
  for (const std::string text : {"</s>", "<s>", "<unk>", "<0x0A>"}) {
    const Ids ids = tokenizer.encode(text);
    for (const int32_t id : ids) EXPECT_GE(id, 3) << text;
    EXPECT_EQ(tokenizer.decode(ids), text);
  }
  EXPECT_EQ(tokenizer.encode("</s>", {.parse_special = true}), Ids{2});
}

TEST(TokenizerSpm, WithoutByteTokensACharacterIsUnknown) {
  SpmVocabulary vocabulary;
  std::fill(vocabulary.types.begin() + 3, vocabulary.types.end(), 5);
  const int32_t a = vocabulary.add("\u2581a", -1);
  EXPECT_EQ(make(vocabulary).encode("a中"), (Ids{a, 0}));
}

TEST(TokenizerSpm, AFileThatLiesIsRefusedInTime) {
  const auto refused = [](const SpmVocabulary& vocabulary) {
    const auto tokenizer = tokenizer_of(vocabulary.writer());
    return tokenizer ? std::string("taken") : tokenizer.error().message;
  };
  SpmVocabulary nan;
  nan.add("ab", std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(refused(nan), "tokenizer: the score of token 259 is not a number");
  SpmVocabulary few;
  few.scores.pop_back();
  EXPECT_EQ(refused(few),
            "tokenizer: tokenizer.ggml.scores has 258 entries when it should have 259");
  SpmVocabulary infinite;
  infinite.add("ab", -std::numeric_limits<float>::infinity());
  EXPECT_EQ(refused(infinite), "taken");
  SpmVocabulary longest;
  longest.add(std::string(1 << 20, 'a'), 0);
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_NE(refused(longest).find("the squares of the tokens' lengths"), std::string::npos);
  const auto spent = std::chrono::steady_clock::now() - begin;
  EXPECT_LT(std::chrono::duration<double>(spent).count(), 5.0);
}

TEST(TokenizerSpm, AMegabyteWithoutASpaceTakesNoQuadraticTime) {
  SpmVocabulary vocabulary;
  std::string run = "a";
  for (int i = 0; i < 5; ++i, run += run) vocabulary.add(run, static_cast<float>(i));
  const Tokenizer tokenizer = make(vocabulary);
  EXPECT_EQ(tokenizer.encode(std::string(1 << 20, 'a')).size(), 1u + (1u << 20) / 16);
}

}  // namespace
}  // namespace minke
