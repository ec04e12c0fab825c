#include "minke/data/ngram_filter.h"

#include <string>

#include "minke/base/files.h"
#include "minke/base/random.h"
#include "minke/data/input_file.h"
#include "minke/data/text_hash.h"

namespace minke {
namespace {

char lower(char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_of_word(char c) {
  return ('a' <= c && c <= 'z') || ('0' <= c && c <= '9') || static_cast<uint8_t>(c) >= 0x80;
}

/// Calls `visit` with the hash of each run of kWords words; ends when it gives true.
template <class Visit>
bool for_each_ngram(std::string_view text, const Visit& visit) {
  std::vector<uint64_t> words;
  std::string word;
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? lower(text[i]) : ' ';
    if (is_of_word(c)) {
      word += c;
      continue;
    }
    if (word.empty()) continue;
    words.push_back(text_hash(word));
    word.clear();
    if (words.size() < NgramFilter::kWords) continue;
    uint64_t hash = 0;
    for (size_t k = words.size() - NgramFilter::kWords; k < words.size(); ++k) {
      hash = mix64(hash ^ words[k]);
    }
    if (visit(hash)) return true;
  }
  return false;
}

}  // namespace

void NgramFilter::add(std::string_view text) {
  for_each_ngram(text, [&](uint64_t hash) {
    ngrams_.insert(hash);
    return false;
  });
}

bool NgramFilter::matches(std::string_view text) const {
  return !ngrams_.empty() &&
         for_each_ngram(text, [&](uint64_t hash) { return ngrams_.contains(hash); });
}

void NgramFilter::add_strings(const Json& value) {
  if (value.is_string()) add(value.as_string());
  if (value.is_array()) {
    for (const Json& item : value.as_array()) add_strings(item);
  }
  if (value.is_object()) {
    for (const auto& [key, member] : value.as_object()) add_strings(member);
  }
}

Result<void> NgramFilter::add_file(const std::filesystem::path& path) {
  MK_ASSIGN(const InputFile file, InputFile::open(path));
  if (!file.is_jsonl()) {
    add(file.text());
    return {};
  }
  int64_t line_number = 0;
  for (std::string_view rest = file.text(); !rest.empty();) {
    ++line_number;
    const std::string_view line = take_line(rest);
    if (is_blank(line)) continue;
    const Result<Json> value = parse_json(line);
    if (!value) {
      return fail(ErrorCode::kCorrupt, "{}:{}: {}", path.string(), line_number,
                  value.error().message);
    }
    add_strings(*value);
  }
  return {};
}

}  // namespace minke
