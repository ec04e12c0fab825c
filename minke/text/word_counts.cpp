#include "minke/text/word_counts.h"

#include <algorithm>
#include <cstring>

#include "minke/base/check.h"
#include "minke/base/utf8.h"
#include "minke/text/char_class.h"
#include "minke/text/string_index.h"

namespace minke {
namespace {

// A thread takes this much at a time; so much for each thread goes between two calls of progress().
constexpr size_t kBlockBytes = size_t{1} << 20;
constexpr size_t kBlocksOfThread = 8;

bool is_ascii_letter(char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }

bool is_space(std::string_view text, size_t at) {
  return (char_at(text, at).kind & char_class::kSpace) != 0;
}

// The same of the character that ends at `end`.
bool is_space_before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && end - at < 4 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return is_space(text, at);
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    constexpr uint64_t kHighBits = 0x8080808080808080ULL;
    uint64_t word;
    if (at + 8 <= text.size() && (std::memcpy(&word, text.data() + at, 8), word & kHighBits) == 0) {
      at += 8;
      continue;
    }
    const Utf8Char c = utf8_next(text.substr(at));
    if (!c.valid) return at;
    at += static_cast<size_t>(c.bytes);
  }
  return std::nullopt;
}

void count_block(std::string_view block, const WordCountOptions& options, WordCounts& counts) {
  const auto count = [&](std::string_view piece) { counts.add(piece); };
  if (!options.lines) return pretokenize(*options.pretokenizer, block, count);
  while (!block.empty()) {
    const size_t end = std::min(block.find('\n'), block.size() - 1) + 1;
    pretokenize(*options.pretokenizer, block.substr(0, end), count);
    block.remove_prefix(end);
  }
}

size_t next_cut(std::string_view text, size_t from, bool lines) {
  if (!lines) return next_safe_cut(text, from);
  return from >= text.size() ? text.size() : std::min(text.find('\n', from), text.size() - 1) + 1;
}

}  // namespace

void WordCounts::add(std::string_view word, uint64_t count) {
  for (; word.size() > kWordBytesMax; word.remove_prefix(kWordBytesMax)) {
    add(word.substr(0, kWordBytesMax), count);
  }
  const uint64_t hash = hash_bytes(word);
  const size_t mask = slots_.size() - 1;
  size_t at = hash & mask;
  while (slots_[at] != kEmpty) {
    Row& row = rows_[slots_[at]];
    if (row.hash == hash && word_of(row) == word) {
      row.count += count;
      return;
    }
    at = (at + 1) & mask;
  }
  slots_[at] = static_cast<uint32_t>(rows_.size());
  rows_.push_back({bytes_.size(), hash, count, static_cast<uint32_t>(word.size())});
  bytes_ += word;
  if (rows_.size() * 2 > slots_.size()) grow();
}

void WordCounts::grow() {
  slots_.assign(slots_.size() * 2, kEmpty);
  const size_t mask = slots_.size() - 1;
  for (uint32_t i = 0; i < rows_.size(); ++i) {
    size_t at = rows_[i].hash & mask;
    while (slots_[at] != kEmpty) at = (at + 1) & mask;
    slots_[at] = i;
  }
}

std::vector<CountedWord> WordCounts::sorted() const {
  std::vector<CountedWord> words;
  words.reserve(rows_.size());
  for (const Row& row : rows_) words.push_back({word_of(row), row.count});
  std::sort(words.begin(), words.end(),
            [](const CountedWord& a, const CountedWord& b) { return a.bytes < b.bytes; });
  return words;
}

size_t next_safe_cut(std::string_view text, size_t from) {
  for (size_t at = std::max(from, size_t{2}); at + 1 < text.size(); ++at) {
    if (text[at] == ' ') {
      if (is_ascii_letter(text[at - 1]) && is_ascii_letter(text[at + 1])) return at;
    } else if (text[at - 1] == '\n') {
      if (!is_space_before(text, at - 1) && !is_space(text, at)) return at;
    }
  }
  return text.size();
}

WordCountOutcome count_words(std::string_view text, const WordCountOptions& options,
                             ThreadPool& threads, std::vector<WordCounts>& counts) {
  const auto num_threads = static_cast<size_t>(threads.num_threads());
  MK_CHECK(counts.size() >= num_threads, "count_words: {} tables for {} threads", counts.size(),
           num_threads);
  WordCountOutcome outcome;
  std::vector<size_t> cuts;
  std::vector<std::optional<size_t>> invalid;  // of each block
  while (outcome.bytes_done < text.size()) {
    cuts.assign(1, outcome.bytes_done);
    while (cuts.size() <= kBlocksOfThread * num_threads && cuts.back() < text.size()) {
      cuts.push_back(
          next_cut(text, std::min(cuts.back() + kBlockBytes, text.size()), options.lines));
    }
    const size_t num_blocks = cuts.size() - 1;
    invalid.assign(num_blocks, std::nullopt);
    const auto count = [&](int64_t begin, int64_t end, int worker) {
      for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
        const std::string_view block = text.substr(cuts[i], cuts[i + 1] - cuts[i]);
        invalid[i] = find_invalid_utf8(block);
        if (!invalid[i]) count_block(block, options, counts[static_cast<size_t>(worker)]);
      }
    };
    threads.parallel_for(static_cast<int64_t>(num_blocks), 1, count);
    for (size_t i = 0; i < num_blocks; ++i) {
      if (!invalid[i]) continue;
      outcome.invalid_at = cuts[i] + *invalid[i];
      return outcome;
    }
    outcome.bytes_done = cuts.back();
    if (options.progress && !options.progress(outcome.bytes_done)) return outcome;
  }
  return outcome;
}

}  // namespace minke
