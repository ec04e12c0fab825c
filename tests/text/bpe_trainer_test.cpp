// Goal: byte-level BPE learns what Hugging Face's BpeTrainer learns, for any number of threads, and
// what it writes encodes all text without loss. Method: vocabularies and merges that
// golden/bpe_trainer.py made; a trainer that counts all pairs anew for each merge as a second
// oracle on random words; round trips; every error.
#include "minke/text/bpe_trainer.h"

#include <gtest/gtest.h>

#include <map>

#include "minke/base/files.h"
#include "minke/base/json.h"
#include "minke/base/random.h"
#include "minke/text/byte_alphabet.h"
#include "minke/text/word_counts.h"
#include "tests/golden/golden_path.h"

namespace minke {
namespace {

WordCounts count(std::string_view text, const WordCountOptions& options, int num_threads) {
  ThreadPool threads(num_threads);
  std::vector<WordCounts> counts(static_cast<size_t>(num_threads));
  const WordCountOutcome outcome = count_words(text, options, threads, counts);
  EXPECT_EQ(outcome.bytes_done, text.size());
  EXPECT_FALSE(outcome.invalid_at);
  for (size_t i = 1; i < counts.size(); ++i) {
    for (const CountedWord& word : counts[i].sorted()) counts[0].add(word.bytes, word.count);
  }
  return std::move(counts[0]);
}

int64_t integer(const Json& object, const char* key) { return object.find(key)->as_int(); }

TEST(BpeTrainer, LearnsWhatHuggingFacesLearns) {
  const auto text = read_file(golden_path("bpe_trainer.json"));
  ASSERT_TRUE(text) << text.error().message;
  const auto golden = parse_json(*text);
  ASSERT_TRUE(golden) << golden.error().message;
  std::vector<std::string> special;
  for (const Json& token : golden->find("special_tokens")->as_array()) {
    special.push_back(token.as_string());
  }
  const Json::Array& cases = golden->find("cases")->as_array();
  ASSERT_EQ(cases.size(), 11u);
  for (const Json& row : cases) {
    const Pretokenizer* pre = find_pretokenizer(row.find("pretokenizer")->as_string());
    ASSERT_NE(pre, nullptr);
    const bool lines = row.find("lines")->as_bool();
    const std::string& source =
        golden->find("texts")->find(row.find("text")->as_string())->as_string();
    const WordCounts counts = count(source, {.pretokenizer = pre, .lines = lines}, 1);
    const Json::Array& tokens = row.find("tokens")->as_array();
    const auto learned =
        train_bpe(counts.sorted(), {.vocab_size = static_cast<int64_t>(tokens.size()),
                                    .min_frequency = integer(row, "min_frequency"),
                                    .limit_alphabet = integer(row, "limit_alphabet"),
                                    .special_tokens = special});
    ASSERT_TRUE(learned) << learned.error().message;
    EXPECT_EQ(Json(Json::Array(learned->tokens.begin(), learned->tokens.end())), Json(tokens));
    Json::Array merges;
    for (const auto& [left, right] : learned->merges) merges.push_back(Json::array({left, right}));
    EXPECT_EQ(Json(std::move(merges)), *row.find("merges")) << pre->name;
    // Where Hugging Face's stopped early, there is nothing left to learn.
    if (static_cast<int64_t>(tokens.size()) == integer(row, "vocab_size")) continue;
    const auto more =
        train_bpe(counts.sorted(), {.vocab_size = static_cast<int64_t>(tokens.size()) + 1,
                                    .min_frequency = integer(row, "min_frequency"),
                                    .special_tokens = special});
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().code, ErrorCode::kUsage);
  }
}

// All pairs counted anew for each merge; of equals the lowest ids.
std::vector<std::pair<int32_t, int32_t>> slow_merges(const std::vector<CountedWord>& input,
                                                     size_t num_merges) {
  std::vector<std::vector<int32_t>> words;
  std::array<int32_t, 256> letters{};
  int32_t next = 0;
  for (const int16_t byte : kByteOfCodePoint) {
    if (byte >= 0) letters[static_cast<size_t>(byte)] = next++;
  }
  for (const CountedWord& word : input) {
    words.emplace_back();
    for (const char byte : word.bytes) words.back().push_back(letters[static_cast<uint8_t>(byte)]);
  }
  std::vector<std::pair<int32_t, int32_t>> merges;
  while (merges.size() < num_merges) {
    std::map<std::pair<int32_t, int32_t>, uint64_t> counts;
    for (size_t w = 0; w < words.size(); ++w) {
      for (size_t i = 1; i < words[w].size(); ++i) {
        counts[{words[w][i - 1], words[w][i]}] += input[w].count;
      }
    }
    uint64_t most = 0;
    for (const auto& [pair, times] : counts) most = std::max(most, times);
    for (const auto& [pair, times] : counts) {
      if (times != most) continue;
      merges.push_back(pair);
      break;
    }
    for (std::vector<int32_t>& word : words) {
      std::vector<int32_t> joined;
      for (size_t i = 0; i < word.size(); ++i) {
        const bool is_pair =
            i + 1 < word.size() && std::pair(word[i], word[i + 1]) == merges.back();
        joined.push_back(is_pair ? next : word[i]);
        i += is_pair;
      }
      word = std::move(joined);
    }
    ++next;
  }
  return merges;
}

// Without runs, whose pairs overlap: there Hugging Face's counts keep what a merge has taken.
TEST(BpeTrainer, EqualsCountingAllPairsAnew) {
  Random random(7);
  WordCounts counts;
  for (int i = 0; i < 400; ++i) {
    std::string word;
    for (uint64_t length = 1 + random.below(12); word.size() < length;) {
      const char letter = static_cast<char>('a' + random.below(5));
      if (word.empty() || word.back() != letter) word += letter;
    }
    counts.add(word, 1 + random.below(50));
  }
  const std::vector<CountedWord> words = counts.sorted();
  const auto learned = train_bpe(words, {.vocab_size = 256 + 60});
  ASSERT_TRUE(learned) << learned.error().message;
  EXPECT_EQ(learned->merges, slow_merges(words, 60));
}

TEST(BpeTrainer, SpecialTokensAreNeverLearned) {
  const CountedWord words[] = {{"PAD", 9}, {"PADDED", 2}};
  const auto learned = train_bpe(words, {.vocab_size = 261, .special_tokens = {"PAD", "</s>"}});
  ASSERT_TRUE(learned) << learned.error().message;
  EXPECT_EQ(learned->tokens[0], "PAD");
  EXPECT_EQ(learned->num_special, 2);
  for (const auto& [left, right] : learned->merges) {
    EXPECT_NE(
        learned->tokens[static_cast<size_t>(left)] + learned->tokens[static_cast<size_t>(right)],
        "PAD");
  }
}

TEST(BpeTrainer, CountsItsTokens) {
  const CountedWord words[] = {{"aab", 3}, {"c", 2}};
  const auto learned = train_bpe(words, {.vocab_size = 257});
  ASSERT_TRUE(learned) << learned.error().message;
  EXPECT_EQ(learned->num_tokens, 3 * 2 + 2);
}

TEST(BpeTrainer, WhatCannotBeIsSaid) {
  const CountedWord words[] = {{"abab", 3}};
  const auto error = [&](std::span<const CountedWord> text, const BpeTrainerConfig& config) {
    const auto learned = train_bpe(text, config);
    EXPECT_FALSE(learned);
    EXPECT_EQ(learned.error().code, ErrorCode::kUsage);
    return learned.error().message;
  };
  EXPECT_EQ(error({}, {.vocab_size = 300}), "there is no text to learn tokens from");
  EXPECT_EQ(error(words, {.vocab_size = 256, .special_tokens = {"<s>"}}),
            "a vocabulary of 256 is too small: 1 special tokens and 256 bytes need 257");
  EXPECT_EQ(error(words, {.vocab_size = 300}),
            "the text gives 258 tokens when 300 are asked for: no other pair occurs 1 times; take "
            "more text or a vocabulary of at most 258");
  EXPECT_EQ(error(words, {.vocab_size = 258, .min_frequency = 4}),
            "the text gives 257 tokens when 258 are asked for: no other pair occurs 4 times; take "
            "more text or a vocabulary of at most 257");
  EXPECT_NE(error(words, {.vocab_size = 300, .special_tokens = {"a"}}).find("letter of a byte"),
            std::string::npos);
  EXPECT_NE(error(words, {.vocab_size = 300, .special_tokens = {""}}).find("is empty"),
            std::string::npos);
  const auto stopped = train_bpe(words, {.vocab_size = 258}, [](int64_t) { return false; });
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::kInterrupted);
}

std::string random_text(Random& random, size_t num_parts) {
  const std::string_view parts[] = {"a",      "The",  " ",    " ",     "  ", "\n", "\n",
                                    "\n\n",   "\r\n", "\t",   "é",     "中", "。", "か",
                                    "1",      "23",   "'",    "'s",    "!",  "$",  "\u00a0",
                                    "\u0301", "👍",   "word", " word", "<",  "-"};
  std::string text;
  while (num_parts-- > 0) text += parts[random.below(std::size(parts))];
  return text;
}

TEST(WordCounts, ASafeCutChangesNoPiece) {
  Random random(3);
  const std::string names = pretokenizer_names() + ", ";
  for (size_t at = 0; at < names.size();) {
    const size_t end = names.find(", ", at);
    const Pretokenizer* pre = find_pretokenizer(std::string_view(names).substr(at, end - at));
    at = end + 2;
    ASSERT_NE(pre, nullptr);
    int num_cuts = 0;
    for (int round = 0; round < 60; ++round) {
      const std::string text = random_text(random, 40);
      std::vector<std::string_view> whole;
      std::vector<std::string_view> parts;
      pretokenize(*pre, text, [&](std::string_view piece) { whole.push_back(piece); });
      for (size_t begin = 0; begin < text.size();) {
        const size_t cut = next_safe_cut(text, begin + 1);
        pretokenize(*pre, std::string_view(text).substr(begin, cut - begin),
                    [&](std::string_view piece) { parts.push_back(piece); });
        num_cuts += cut < text.size();
        begin = cut;
      }
      ASSERT_EQ(parts, whole) << pre->name << " " << Json(text).dump();
    }
    EXPECT_GT(num_cuts, 50);
  }
}

TEST(WordCounts, DoNotDependOnThreads) {
  Random random(4);
  std::string text = random_text(random, 20000);
  while (text.size() < (size_t{5} << 19)) text += text;  // several blocks
  for (const bool lines : {false, true}) {
    const WordCountOptions options{.pretokenizer = find_pretokenizer("llama-bpe"), .lines = lines};
    const WordCounts one = count(text, options, 1);
    const WordCounts four = count(text, options, 4);
    const auto a = one.sorted();
    const auto b = four.sorted();
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].bytes, b[i].bytes);
      ASSERT_EQ(a[i].count, b[i].count);
    }
  }
}

TEST(WordCounts, VeryLongWordsAreCountedInParts) {
  WordCounts counts;
  counts.add(std::string(2 * WordCounts::kWordBytesMax + 3, 'x'));
  const std::vector<CountedWord> words = counts.sorted();
  ASSERT_EQ(words.size(), 2u);
  EXPECT_EQ(words[0].bytes, "xxx");
  EXPECT_EQ(words[1].count, 2u);
}

TEST(WordCounts, BytesThatAreNotUtf8AreFound) {
  ThreadPool threads(2);
  std::vector<WordCounts> counts(2);
  const WordCountOptions options{.pretokenizer = find_pretokenizer("gpt-2")};
  std::string text(3 << 20, 'a');
  for (size_t i = 0; i < text.size(); i += 20) text[i] = ' ';
  EXPECT_FALSE(count_words(text, options, threads, counts).invalid_at);
  text[2500000] = '\x80';
  text[1500000] = '\xff';
  EXPECT_EQ(count_words(text, options, threads, counts).invalid_at, 1500000u);
  EXPECT_EQ(count_words("é\xc3", options, threads, counts).invalid_at, 2u);
}

}  // namespace
}  // namespace minke
