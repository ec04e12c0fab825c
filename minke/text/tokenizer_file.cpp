#include "minke/text/tokenizer_file.h"

#include <system_error>

#include "minke/base/files.h"
#include "minke/format/gguf.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

/// The file's text; empty when there is none.
Result<std::string> read_if_there(const fs::path& path) {
  std::error_code error;
  if (!fs::exists(path, error)) return std::string();
  return read_file(path, size_t{16} << 20);
}

}  // namespace

Result<TokenizerTexts> read_tokenizer_texts(const fs::path& tokenizer_json) {
  TokenizerTexts texts;
  const fs::path folder = tokenizer_json.parent_path();
  MK_ASSIGN(texts.tokenizer_json, read_file(tokenizer_json, size_t{64} << 20));
  MK_ASSIGN(texts.tokenizer_config, read_if_there(folder / "tokenizer_config.json"));
  MK_ASSIGN(texts.special_tokens_map, read_if_there(folder / "special_tokens_map.json"));
  MK_ASSIGN(texts.generation_config, read_if_there(folder / "generation_config.json"));
  MK_ASSIGN(texts.chat_template, read_if_there(folder / "chat_template.jinja"));
  return texts;
}

Result<Tokenizer> open_tokenizer(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    if (fs::exists(path / "tokenizer.json", error)) return open_tokenizer(path / "tokenizer.json");
    return fail(ErrorCode::kNotFound,
                "{} has no tokenizer.json; give a folder that has one, or a .gguf file",
                path.string());
  }
  if (path.extension() == ".json") {
    MK_ASSIGN(const TokenizerTexts texts, read_tokenizer_texts(path));
    return Tokenizer::from_json(texts);
  }
  MK_ASSIGN(const GgufFile file, GgufFile::open(path));
  return Tokenizer::from_gguf(file);
}

}  // namespace minke
