#include "minke/models/hf_folder.h"

#include <system_error>

#include "minke/base/files.h"
#include "minke/models/registry.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr size_t kConfigBytesMax = size_t{4} << 20;

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
  MK_ASSIGN(const ModelConfig parsed, config_from_hf_json(config));
  MK_TRY(weights.attach_scales(parsed.fp8_blocks));
  std::erase_if(config.as_object(),
                [](const auto& member) { return member.first == "quantization_config"; });
  return {};
}

}  // namespace minke
