#include "minke/text/bpe_trainer.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>

#include "minke/base/random.h"
#include "minke/text/byte_alphabet.h"

namespace minke {
namespace {

constexpr int64_t kProgressTokens = 64;  // between calls

uint64_t pair_of(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// How often a pair occurs, and words that have got it since it was last put in the queue.
struct Pair {
  uint64_t ids = 0;
  int64_t count = 0;
  std::vector<uint32_t> words;
};

// Finds a pair's index by its ids: open addressing, at most half full.
class PairTable {
 public:
  Pair& operator[](size_t index) { return pairs_[index]; }
  size_t size() const { return pairs_.size(); }

  // The index of the pair, which is added with a count of 0 where it is new.
  uint32_t find_or_add(uint64_t ids) {
    uint32_t& slot = slots_[slot_of(ids)];
    if (slot != kEmpty) return slot;
    const auto index = static_cast<uint32_t>(pairs_.size());
    slot = index;
    pairs_.push_back({.ids = ids, .count = 0, .words = {}});
    if (pairs_.size() * 2 > slots_.size()) grow();
    return index;
  }

 private:
  static constexpr uint32_t kEmpty = ~uint32_t{0};

  size_t slot_of(uint64_t ids) const {
    const size_t mask = slots_.size() - 1;
    size_t at = mix64(ids) & mask;
    while (slots_[at] != kEmpty && pairs_[slots_[at]].ids != ids) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    slots_.assign(slots_.size() * 2, kEmpty);
    for (uint32_t i = 0; i < pairs_.size(); ++i) slots_[slot_of(pairs_[i].ids)] = i;
  }

  std::vector<Pair> pairs_;
  std::vector<uint32_t> slots_ = std::vector<uint32_t>(size_t{1} << 12, kEmpty);
};

// A merge that waits: the pair, its count when it was queued, and the words to look for it in. A
// count that has changed since is noticed when the candidate reaches the top.
struct Candidate {
  int64_t count = 0;
  uint64_t ids = 0;
  uint32_t pair = 0;
  uint32_t words = 0;  // index of the list
};

struct ComesLater {
  bool operator()(const Candidate& a, const Candidate& b) const {
    if (a.count != b.count) return a.count < b.count;
    return a.ids != b.ids ? a.ids > b.ids : a.words > b.words;
  }
};

class BpeTraining {
 public:
  BpeTraining(std::span<const CountedWord> words, const BpeTrainerConfig& config)
      : input_(words), config_(config) {}

  Result<BpeVocabulary> run(const std::function<bool(int64_t)>& progress) {
    MK_TRY(add_special_tokens());
    MK_TRY(add_alphabet());
    MK_TRY(spell_words());
    count_pairs();
    MK_TRY(merge_pairs(progress));
    for (size_t word = 0; word < counts_.size(); ++word) {
      vocabulary_.num_tokens += counts_[word] * static_cast<int64_t>(lengths_[word]);
    }
    return std::move(vocabulary_);
  }

 private:
  int64_t vocab_size() const { return static_cast<int64_t>(vocabulary_.tokens.size()); }

  int32_t add_token(std::string text) {
    const auto id = static_cast<int32_t>(vocabulary_.tokens.size());
    id_of_.emplace(text, id);
    vocabulary_.tokens.push_back(std::move(text));
    return id;
  }

  Result<void> add_special_tokens() {
    for (const std::string& text : config_.special_tokens) {
      if (id_of_.contains(text)) continue;
      std::string bytes;
      const bool is_letter = append_bytes_of_alphabet(bytes, text) && bytes.size() <= 1;
      if (text.empty() || is_letter) {
        return fail(ErrorCode::kUsage,
                    "the special token '{}' is {}, expected a text such as <|endoftext|>", text,
                    text.empty() ? "empty" : "the letter of a byte");
      }
      add_token(text);
    }
    vocabulary_.num_special = vocab_size();
    return {};
  }

  // The bytes that become tokens, in the order of their letters.
  std::vector<uint8_t> find_alphabet() const {
    std::array<uint64_t, 256> count_of_byte{};
    for (const CountedWord& word : input_) {
      for (const char byte : word.bytes) count_of_byte[static_cast<uint8_t>(byte)] += word.count;
    }
    std::vector<uint8_t> bytes;
    for (const int16_t byte : kByteOfCodePoint) {
      if (byte < 0) continue;
      const auto value = static_cast<uint8_t>(byte);
      if (config_.limit_alphabet == 0 || count_of_byte[value] > 0) bytes.push_back(value);
    }
    const auto limit = static_cast<size_t>(config_.limit_alphabet);
    if (limit == 0 || bytes.size() <= limit) return bytes;
    std::stable_sort(bytes.begin(), bytes.end(),
                     [&](uint8_t a, uint8_t b) { return count_of_byte[a] > count_of_byte[b]; });
    bytes.resize(limit);
    std::sort(bytes.begin(), bytes.end(),
              [](uint8_t a, uint8_t b) { return kCodePointOfByte[a] < kCodePointOfByte[b]; });
    return bytes;
  }

  Result<void> add_alphabet() {
    if (input_.empty()) return fail(ErrorCode::kUsage, "there is no text to learn tokens from");
    letter_of_byte_.fill(-1);
    const std::vector<uint8_t> bytes = find_alphabet();
    for (const uint8_t byte : bytes) {
      const auto value = static_cast<char>(byte);
      letter_of_byte_[byte] = add_token(in_byte_alphabet({&value, 1}));
    }
    vocabulary_.num_letters = static_cast<int64_t>(bytes.size());
    if (vocab_size() <= config_.vocab_size) return {};
    return fail(ErrorCode::kUsage,
                "a vocabulary of {} is too small: {} special tokens and {} bytes need {}",
                config_.vocab_size, vocabulary_.num_special, bytes.size(), vocab_size());
  }

  Result<void> spell_words() {
    uint64_t num_bytes = 0;
    for (const CountedWord& word : input_) num_bytes += word.bytes.size();
    constexpr uint64_t kBytesMax = uint64_t{1} << 32;
    if (num_bytes >= kBytesMax) {
      return fail(ErrorCode::kWillNotFit,
                  "the text's different words have {} bytes, less than {} are possible: train on "
                  "a part of the text",
                  num_bytes, kBytesMax);
    }
    symbols_.reserve(num_bytes);
    for (const CountedWord& word : input_) {
      begins_.push_back(static_cast<uint32_t>(symbols_.size()));
      for (const char byte : word.bytes) {
        const int32_t letter = letter_of_byte_[static_cast<uint8_t>(byte)];
        if (letter >= 0) symbols_.push_back(letter);
      }
      lengths_.push_back(static_cast<uint32_t>(symbols_.size()) - begins_.back());
      counts_.push_back(static_cast<int64_t>(word.count));
    }
    return {};
  }

  void count_pairs() {
    for (uint32_t word = 0; word < counts_.size(); ++word) {
      const int32_t* symbols = symbols_.data() + begins_[word];
      for (uint32_t i = 1; i < lengths_[word]; ++i) {
        add_pair(symbols[i - 1], symbols[i], word);
      }
    }
    queue_touched();
  }

  // One more occurrence of the pair, in this word.
  void add_pair(int32_t left, int32_t right, uint32_t word) {
    const uint32_t index = pairs_.find_or_add(pair_of(left, right));
    Pair& pair = pairs_[index];
    pair.count += counts_[word];
    if (pair.words.empty()) touched_.push_back(index);
    // All pairs of a word come in a row, so this keeps words apart.
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  }
  void remove_pair(int32_t left, int32_t right, uint32_t word) {
    pairs_[pairs_.find_or_add(pair_of(left, right))].count -= counts_[word];
  }

  void queue_touched() {
    for (const uint32_t index : touched_) {
      Pair& pair = pairs_[index];
      std::vector<uint32_t> words = std::exchange(pair.words, {});
      if (pair.count <= 0) continue;
      queue_.push({pair.count, pair.ids, index, static_cast<uint32_t>(word_lists_.size())});
      word_lists_.push_back(std::move(words));
    }
    touched_.clear();
  }

  // Takes the best candidate; false when none is frequent enough.
  bool take_best(Candidate& best) {
    while (!queue_.empty()) {
      best = queue_.top();
      queue_.pop();
      const int64_t count = pairs_[best.pair].count;
      if (best.count == count) return count >= std::max<int64_t>(config_.min_frequency, 1);
      best.count = count;
      if (count > 0) queue_.push(best);
    }
    return false;
  }

  Result<void> merge_pairs(const std::function<bool(int64_t)>& progress) {
    Candidate best;
    while (vocab_size() < config_.vocab_size) {
      if (progress && vocab_size() % kProgressTokens == 0 && !progress(vocab_size())) {
        return fail(ErrorCode::kInterrupted, "stopped: no tokenizer was written");
      }
      if (!take_best(best)) {
        return fail(ErrorCode::kUsage,
                    "the text gives {} tokens when {} are asked for: no other pair occurs {} "
                    "times; take more text or a vocabulary of at most {}",
                    vocab_size(), config_.vocab_size, std::max<int64_t>(config_.min_frequency, 1),
                    vocab_size());
      }
      const auto left = static_cast<int32_t>(best.ids >> 32);
      const auto right = static_cast<int32_t>(best.ids & ~uint32_t{0});
      std::string text = vocabulary_.tokens[static_cast<size_t>(left)];
      text += vocabulary_.tokens[static_cast<size_t>(right)];
      const auto known = id_of_.find(text);
      const int32_t merged = known != id_of_.end() ? known->second : add_token(std::move(text));
      if (merged < vocabulary_.num_special) continue;  // Text must not become a control token.
      vocabulary_.merges.emplace_back(left, right);
      for (const uint32_t word : std::exchange(word_lists_[best.words], {})) {
        merge_in_word(word, left, right, merged);
      }
      queue_touched();
    }
    return {};
  }

  // Joins the pair wherever the word has it, from left to right. The pair's own count stays, as it
  // is not queued again. Of a run such as aaa, whose pairs overlap, both count, as in Hugging
  // Face's trainer.
  void merge_in_word(uint32_t word, int32_t left, int32_t right, int32_t merged) {
    int32_t* symbols = symbols_.data() + begins_[word];
    const uint32_t length = lengths_[word];
    uint32_t out = 0;
    for (uint32_t in = 0; in < length; ++in) {
      if (symbols[in] != left || in + 1 == length || symbols[in + 1] != right) {
        symbols[out++] = symbols[in];
        continue;
      }
      if (out > 0) {
        remove_pair(symbols[out - 1], left, word);
        add_pair(symbols[out - 1], merged, word);
      }
      if (in + 2 < length) {
        remove_pair(right, symbols[in + 2], word);
        add_pair(merged, symbols[in + 2], word);
      }
      symbols[out++] = merged;
      ++in;
    }
    lengths_[word] = out;
  }

  std::span<const CountedWord> input_;
  const BpeTrainerConfig& config_;
  BpeVocabulary vocabulary_;
  std::unordered_map<std::string, int32_t> id_of_;
  std::array<int32_t, 256> letter_of_byte_{};
  std::vector<int32_t> symbols_;  // of all words; a word's shrink in place
  std::vector<uint32_t> begins_;  // [words] into symbols_
  std::vector<uint32_t> lengths_;
  std::vector<int64_t> counts_;
  PairTable pairs_;
  std::vector<std::vector<uint32_t>> word_lists_;  // of candidates
  std::vector<uint32_t> touched_;                  // pairs that have words to queue
  std::priority_queue<Candidate, std::vector<Candidate>, ComesLater> queue_;
};

}  // namespace

Result<BpeVocabulary> train_bpe(std::span<const CountedWord> words, const BpeTrainerConfig& config,
                                const std::function<bool(int64_t)>& progress) {
  return BpeTraining(words, config).run(progress);
}

}  // namespace minke
