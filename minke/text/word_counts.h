#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/thread_pool.h"
#include "minke/text/bpe_trainer.h"
#include "minke/text/pretokenizer.h"

namespace minke {

/// How often each word occurs: a flat table whose words lie one after the other in one string.
class WordCounts {
 public:
  /// Longer words are counted in parts of this size: they hardly repeat.
  static constexpr size_t kWordBytesMax = size_t{1} << 20;

  void add(std::string_view word, uint64_t count = 1);
  /// Each word once, ascending by bytes; valid until the next add().
  std::vector<CountedWord> sorted() const;
  size_t size() const { return rows_.size(); }

 private:
  struct Row {
    uint64_t begin = 0;  // in bytes_
    uint64_t hash = 0;
    uint64_t count = 0;
    uint32_t length = 0;
  };
  static constexpr uint32_t kEmpty = ~uint32_t{0};
  std::string_view word_of(const Row& row) const {
    return std::string_view(bytes_).substr(row.begin, row.length);
  }
  void grow();

  std::string bytes_;
  std::vector<Row> rows_;
  std::vector<uint32_t> slots_ = std::vector<uint32_t>(size_t{1} << 12, kEmpty);
};

/// Where a text may be cut for counting without changing its pieces, whatever the pre-tokenizer:
/// the first place at or after `from` that stands behind a line break between two characters that
/// are no white space, or before a space between two ASCII letters; the text's end without one.
size_t next_safe_cut(std::string_view text, size_t from);

/// What a text is cut and counted with.
struct WordCountOptions {
  const Pretokenizer* pretokenizer = nullptr;
  /// Each line, its end included, is a text of its own, as in Hugging Face's train(files).
  bool lines = false;
  /// Bytes so far, after each few megabytes; false from it stops.
  std::function<bool(uint64_t)> progress{};
};

/// Adds the pieces of `text`, counted by all threads, to counts[worker], a table for each; their
/// sum is the same for every number of threads. Returns how far it got, which is less than the
/// text's size after progress() said so or at a byte that is not UTF-8 (the lowest such byte).
struct WordCountOutcome {
  uint64_t bytes_done = 0;
  std::optional<uint64_t> invalid_at;
};
WordCountOutcome count_words(std::string_view text, const WordCountOptions& options,
                             ThreadPool& threads, std::vector<WordCounts>& counts);

}  // namespace minke
