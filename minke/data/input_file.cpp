#include "minke/data/input_file.h"

#include <algorithm>

#include "minke/base/check.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

struct Refusal {
  std::string_view magic;
  std::string_view what;
  std::string_view cure;
};
constexpr Refusal kRefusals[] = {
    {"PAR1", "a Parquet file",
     "turn it into JSONL: python3 -c \"import pandas, sys; pandas.read_parquet(sys.argv[1])"
     ".to_json(sys.argv[1] + '.jsonl', orient='records', lines=True)\" FILE"},
    {"\x1f\x8b", "compressed by gzip", "decompress it: gunzip FILE"},
    {"\x28\xb5\x2f\xfd", "compressed by Zstandard", "decompress it: unzstd FILE"},
    {"\xfd\x37zXZ", "compressed by xz", "decompress it: unxz FILE"},
    {"ARROW1", "an Arrow file", "turn it into JSONL with pyarrow"},
    {"\xff\xfe", "text in UTF-16", "turn it into UTF-8: iconv -f UTF-16 -t UTF-8"},
    {"\xfe\xff", "text in UTF-16", "turn it into UTF-8: iconv -f UTF-16 -t UTF-8"},
    {"MKTOKENS", "a token shard", "give it to training as it is"},
};

bool is_jsonl_name(const fs::path& path) {
  const fs::path extension = path.extension();
  return extension == ".jsonl" || extension == ".ndjson" || extension == ".json";
}

bool is_white(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

// Where a block that begins at `begin` ends.
size_t end_of_block(std::string_view text, size_t begin, bool is_jsonl, size_t block_bytes) {
  if (text.size() - begin <= block_bytes) return text.size();
  const size_t target = begin + block_bytes;
  for (size_t at = text.find('\n', target); at != std::string_view::npos;
       at = text.find('\n', at + 1)) {
    if (!is_jsonl && at > target + block_bytes) break;
    if (at + 1 == text.size() || is_jsonl || !is_white(text[at + 1])) return at + 1;
  }
  if (is_jsonl) return text.size();
  size_t end = target;  // no line ends near: between two characters
  while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) ++end;
  return end;
}

}  // namespace

Result<InputFile> InputFile::open(const fs::path& path) {
  InputFile input;
  MK_ASSIGN(input.file_, MappedFile::open(path));
  input.is_jsonl_ = is_jsonl_name(path);
  const std::string_view text = input.text();
  const std::string name = path.string();
  const auto refuse = [&](std::string_view what, std::string_view cure) {
    return fail(ErrorCode::kCorrupt, "{}: {}, expected text or JSONL; {}", name, what, cure);
  };
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return fail(ErrorCode::kCorrupt, "{}: empty, expected text or JSONL", name);
  }
  for (const Refusal& row : kRefusals) {
    if (text.starts_with(row.magic)) return refuse(row.what, row.cure);
  }
  if (path.extension() == ".parquet") {
    return refuse("named as a Parquet file, but it is none", "download it again");
  }
  if (input.is_jsonl_ && text[text.find_first_not_of(" \t\r\n")] == '[') {
    return refuse("one JSON array",
                  "turn it into JSONL, one object a line: jq -c '.[]' FILE > FILE.jsonl");
  }
  constexpr size_t kLooked = 8192;
  if (text.substr(0, kLooked).find('\0') != std::string_view::npos) {
    return refuse("no text (it has zero bytes)", "leave it out");
  }
  return input;
}

void InputFile::drop(std::string_view part) const {
  MK_CHECK(
      part.data() >= text().data() && part.data() + part.size() <= text().data() + text().size(),
      "input: {} bytes that are none of the file", part.size());
  file_.drop(static_cast<size_t>(part.data() - text().data()), part.size());
}

Result<std::vector<fs::path>> files_of(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return std::vector<fs::path>{path};
  std::vector<fs::path> files;
  fs::recursive_directory_iterator it(path, error);
  for (; !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    const bool hidden = it->path().filename().string().starts_with('.');
    if (hidden && it->is_directory(error)) it.disable_recursion_pending();
    if (!hidden && it->is_regular_file(error)) files.push_back(it->path());
  }
  if (error) return fail(ErrorCode::kFailed, "{}: {}", path.string(), error.message());
  if (files.empty()) return fail(ErrorCode::kNotFound, "{} has no files", path.string());
  std::ranges::sort(files);
  return files;
}

std::vector<InputBlock> cut_blocks(std::string_view text, bool is_jsonl, size_t block_bytes) {
  std::vector<InputBlock> blocks;
  int64_t line = 1;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = end_of_block(text, begin, is_jsonl, block_bytes);
    blocks.push_back({.text = text.substr(begin, end - begin),
                      .first_line = line,
                      .is_first = begin == 0,
                      .is_last = end == text.size()});
    line += std::ranges::count(blocks.back().text, '\n');
    begin = end;
  }
  return blocks;
}

}  // namespace minke
