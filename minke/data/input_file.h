#pragma once
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

#include "minke/base/files.h"
#include "minke/base/result.h"

namespace minke {

/// A file of text or of JSON lines (by its name: .jsonl, .ndjson, .json), mapped.
class InputFile {
 public:
  /// kNotFound; kCorrupt for what is neither, telling how to turn it into JSONL: Parquet, a
  /// compressed file, one JSON array, other bytes that are no text; an empty file.
  static Result<InputFile> open(const std::filesystem::path& path);

  bool is_jsonl() const { return is_jsonl_; }
  const std::filesystem::path& path() const { return file_.path(); }
  std::string_view text() const {
    return {reinterpret_cast<const char*>(file_.bytes().data()), file_.bytes().size()};
  }
  /// The bytes of `part`, a part of text(), will not be needed again.
  void drop(std::string_view part) const;

 private:
  MappedFile file_;
  bool is_jsonl_ = false;
};

/// The files of a path: itself, or all in the folder and its folders by name, but hidden ones.
/// kNotFound when there is none.
Result<std::vector<std::filesystem::path>> files_of(const std::filesystem::path& path);

/// A part of a file that is worked on at once: whole lines, where lines are no longer than a block.
struct InputBlock {
  std::string_view text;
  int64_t first_line = 1;
  bool is_first = true;  ///< of its file, or of its split's part of it
  bool is_last = true;
};

/// Cuts a text into blocks of about `block_bytes`, at ends of lines; of plain texts where the next
/// line does not begin with white space, so that tokens do not reach over cuts.
std::vector<InputBlock> cut_blocks(std::string_view text, bool is_jsonl, size_t block_bytes);

/// Cuts the first line off, without its end.
inline std::string_view take_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return line;
}

/// Whether a line has only white space.
inline bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace minke
