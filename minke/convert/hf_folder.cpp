#include "minke/convert/hf_folder.h"

#include <algorithm>
#include <array>
#include <system_error>

#include "minke/base/files.h"
#include "minke/models/model.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr size_t kConfigBytesMax = size_t{4} << 20;

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

Result<HfFolder> HfFolder::open(const fs::path& path) {
  std::error_code error;
  HfFolder out;
  out.folder = fs::is_directory(path, error) ? path
               : path.has_parent_path()      ? path.parent_path()
                                             : fs::path(".");
  const fs::path index = out.folder / "model.safetensors.index.json";
  const fs::path single = out.folder / "model.safetensors";
  const bool has_index = fs::exists(index, error);
  if (!fs::exists(out.folder / "config.json", error) ||
      (!has_index && !fs::exists(single, error))) {
    return fail(ErrorCode::kNotFound,
                "{} has no model: expected config.json and model.safetensors, or its index, "
                "model.safetensors.index.json",
                out.folder.string());
  }
  MK_ASSIGN(const std::string text, read_file(out.folder / "config.json", kConfigBytesMax));
  auto config = parse_json(text);
  if (!config || !config->is_object()) {
    return fail(ErrorCode::kCorrupt, "config.json is no JSON object{}",
                config ? "" : ": " + config.error().message);
  }
  out.config = std::move(*config);
  MK_ASSIGN(out.weights, SafetensorsFile::open(has_index ? index : single));
  return out;
}

Result<void> HfFolder::take_fp8_scales() {
  MK_ASSIGN(const ModelConfig parsed, config_from_hf(config.dump()));
  MK_TRY(weights.attach_scales(parsed.fp8_blocks));
  std::erase_if(config.as_object(),
                [](const auto& member) { return member.first == "quantization_config"; });
  return {};
}

Result<void> HfFolder::copy_other_files(const fs::path& to, bool with_tokenizer) const {
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
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
  return fail(ErrorCode::kFailed, "cannot copy the files of {}: {}", folder.string(),
              error.message());
}

}  // namespace minke
