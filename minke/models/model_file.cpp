#include "minke/models/model_file.h"

#include <algorithm>
#include <system_error>

#include "minke/base/files.h"
#include "minke/format/safetensors.h"
#include "minke/models/hf_names.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr size_t kConfigBytesMax = size_t{4} << 20;

// The tensors of a checkpoint under GGUF's names; those that no model of ours has are left out.
class RenamedWeights final : public WeightFile {
 public:
  explicit RenamedWeights(SafetensorsFile file) : file_(std::move(file)) {
    for (const WeightInfo& info : file_.weights()) {
      const auto name = gguf_name_of(info.name);
      if (!name) continue;
      weights_.push_back(info);
      weights_.back().name = *name;
    }
    std::sort(weights_.begin(), weights_.end(),
              [](const WeightInfo& a, const WeightInfo& b) { return a.name < b.name; });
  }

  const std::vector<WeightInfo>& weights() const override { return weights_; }
  const WeightInfo* find(std::string_view name) const override {
    const auto at =
        std::lower_bound(weights_.begin(), weights_.end(), name,
                         [](const WeightInfo& info, std::string_view n) { return info.name < n; });
    return at == weights_.end() || at->name != name ? nullptr : &*at;
  }
  void drop(std::span<const std::byte> bytes) const override { file_.drop(bytes); }

 private:
  SafetensorsFile file_;
  std::vector<WeightInfo> weights_;  // sorted by name
};

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

Result<ModelFile> ModelFile::open_folder(const fs::path& folder) {
  const fs::path index = folder / "model.safetensors.index.json";
  const fs::path single = folder / "model.safetensors";
  if (!is_there(folder / "config.json") || (!is_there(index) && !is_there(single))) {
    return fail(ErrorCode::kNotFound,
                "{} has no model: expected config.json and model.safetensors, or its index, "
                "model.safetensors.index.json",
                folder.string());
  }
  MK_ASSIGN(const std::string config, read_file(folder / "config.json", kConfigBytesMax));
  ModelFile file;
  file.folder_ = folder;
  MK_ASSIGN(file.config_, config_from_hf(config));
  MK_ASSIGN(SafetensorsFile weights, SafetensorsFile::open(is_there(index) ? index : single));
  file.weights_ = std::make_unique<RenamedWeights>(std::move(weights));
  return file;
}

Result<ModelFile> ModelFile::open(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) return open_folder(path);
  if (path.extension() == ".safetensors" || path.extension() == ".json") {
    return open_folder(path.has_parent_path() ? path.parent_path() : fs::path("."));
  }
  MK_ASSIGN(GgufFile gguf, GgufFile::open(path));
  ModelFile file;
  MK_ASSIGN(file.config_, config_from_gguf(gguf));
  auto weights = std::make_unique<GgufFile>(std::move(gguf));
  file.gguf_ = weights.get();
  file.weights_ = std::move(weights);
  return file;
}

}  // namespace minke
