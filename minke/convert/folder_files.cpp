#include "minke/convert/folder_files.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <system_error>

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 6> kWeightEndings = {".safetensors", ".bin",  ".pt",
                                                            ".pth",         ".gguf", ".index.json"};
constexpr std::array<std::string_view, 8> kTokenizerFiles = {"tokenizer.json",
                                                             "tokenizer_config.json",
                                                             "special_tokens_map.json",
                                                             "added_tokens.json",
                                                             "vocab.json",
                                                             "merges.txt",
                                                             "tokenizer.model",
                                                             "chat_template.jinja"};

bool is_weights(const std::string& name) {
  return std::any_of(kWeightEndings.begin(), kWeightEndings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

}  // namespace

Result<void> copy_other_files(const fs::path& from, const fs::path& to, bool with_tokenizer) {
  std::error_code error;
  for (fs::directory_iterator at(from, error), end; !error && at != end; at.increment(error)) {
    const fs::directory_entry& entry = *at;
    const std::string name = entry.path().filename().string();
    const bool is_tokenizer =
        std::find(kTokenizerFiles.begin(), kTokenizerFiles.end(), name) != kTokenizerFiles.end();
    std::error_code ignored;
    if (!entry.is_regular_file(ignored) || name == "config.json" || name.starts_with(".") ||
        is_weights(name) || (is_tokenizer && !with_tokenizer)) {
      continue;
    }
    if (!fs::copy_file(entry.path(), to / name, error)) break;
  }
  if (!error) return {};
  const bool is_full = error == std::errc::no_space_on_device;
  return fail(is_full ? ErrorCode::kWillNotFit : ErrorCode::kFailed,
              "cannot copy the files of {} to {}: {}", from.string(), to.string(), error.message());
}

}  // namespace minke
