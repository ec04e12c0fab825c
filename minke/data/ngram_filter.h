#pragma once
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// Finds texts that repeat what a model will be tested on: those that share `kWords` words in a row
/// with a test's text, in whatever case and punctuation (GPT-3, appendix C, with 13; DeepSeek-LLM
/// and V3 with 10). Words are runs of ASCII letters and digits and of bytes above 127.
class NgramFilter {
 public:
  static constexpr size_t kWords = 10;

  /// Adds the strings of a JSONL file, each by itself, or a text file. Texts of fewer than kWords
  /// words find nothing. kNotFound, kCorrupt with file and line.
  Result<void> add_file(const std::filesystem::path& path);
  void add(std::string_view text);
  /// Whether the text has a run of words that was added.
  bool matches(std::string_view text) const;
  bool empty() const { return ngrams_.empty(); }

 private:
  void add_strings(const Json& value);

  std::unordered_set<uint64_t> ngrams_;
};

}  // namespace minke
