#include "minke/models/model_file.h"

#include <algorithm>
#include <charconv>
#include <system_error>

#include "minke/models/hf_folder.h"
#include "minke/models/hf_names.h"
#include "minke/models/registry.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// The tensors of a checkpoint under GGUF's names; those that no model of ours has are left out.
class HfWeights final : public SortedWeights {
 public:
  explicit HfWeights(SafetensorsFile file) : file_(std::move(file)) {
    for (const WeightInfo& info : file_.weights()) {
      const auto name = gguf_name_of(info.name);
      if (!name) continue;
      weights_.push_back(info);
      weights_.back().name = *name;
    }
    sort_weights();
  }
  void drop(std::span<const std::byte> bytes) const override { file_.drop(bytes); }
  std::span<const MappedFile> maps() const { return file_.maps(); }

 private:
  SafetensorsFile file_;
};

// GGUF has the matrices of all experts, and those of all heads of MLA, in one tensor [experts,
// rows, cols]; here each has its own, "blk.3.ffn_up_exps.17.weight".
class GgufWeights final : public SortedWeights {
 public:
  GgufWeights(GgufFile file, const ModelConfig& config) : file_(std::move(file)) {
    constexpr std::string_view kSuffix = ".weight";
    for (const WeightInfo& info : file_.weights()) {
      const int64_t count = info.shape.num_dims() == 3 ? info.shape[0] : 0;
      if (count == 0 || count != parts_of(info.name, config)) {
        weights_.push_back(info);
        continue;
      }
      const std::string stem = info.name.substr(0, info.name.size() - kSuffix.size());
      const size_t bytes = info.bytes.size() / static_cast<size_t>(count);
      for (int64_t i = 0; i < count; ++i) {
        weights_.push_back({fmt::format("{}.{}.weight", stem, i),
                            info.dtype,
                            {info.shape[1], info.shape[2]},
                            info.bytes.subspan(static_cast<size_t>(i) * bytes, bytes)});
      }
    }
    sort_weights();
  }
  void drop(std::span<const std::byte> bytes) const override { file_.drop(bytes); }
  const GgufFile& gguf() const { return file_; }

 private:
  // The matrices that a tensor of a layer of the model has by its name; 0: it is one. (A file may
  // claim any number of tensors with any number of parts, over the same bytes.)
  static int64_t parts_of(std::string_view name, const ModelConfig& config) {
    constexpr std::string_view kBlock = "blk.";
    int64_t layer = 0;
    if (!name.starts_with(kBlock)) return 0;
    name.remove_prefix(kBlock.size());
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
    const int64_t num_layers = config.num_hidden_layers + config.num_nextn_predict_layers;
    if (error != std::errc() || layer < 0 || layer >= num_layers) return 0;
    const std::string_view part(end, static_cast<size_t>(name.data() + name.size() - end));
    for (const char* experts : {".ffn_gate_exps", ".ffn_up_exps", ".ffn_down_exps"}) {
      if (part == std::string(experts) + ".weight") return config.moe.n_routed_experts;
    }
    const bool heads = part == ".attn_k_b.weight" || part == ".attn_v_b.weight";
    return heads ? config.num_attention_heads : 0;
  }

  GgufFile file_;
};

}  // namespace

Result<ModelFile> ModelFile::open_folder(const fs::path& path) {
  MK_ASSIGN(HfFolder folder, HfFolder::open(path));
  ModelFile file;
  MK_ASSIGN(file.config_, config_from_hf_json(folder.config));
  MK_TRY(folder.weights.attach_scales(file.config_.fp8_blocks));
  file.folder_ = std::move(folder.folder);
  file.config_json_ = std::move(folder.config);
  file.file_bytes_ = folder.weights.file_bytes();
  auto weights = std::make_unique<HfWeights>(std::move(folder.weights));
  file.maps_ = weights->maps();
  file.weights_ = std::move(weights);
  return file;
}

bool ModelFile::names_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error) || path.extension() == ".safetensors" ||
         path.extension() == ".json";
}

Result<ModelFile> ModelFile::open(const fs::path& path) {
  if (names_folder(path)) return open_folder(path);
  MK_ASSIGN(GgufFile gguf, GgufFile::open(path));
  ModelFile file;
  file.file_bytes_ = gguf.file_bytes();
  MK_ASSIGN(file.config_, config_from_gguf(gguf));
  auto weights = std::make_unique<GgufWeights>(std::move(gguf), file.config_);
  file.gguf_ = &weights->gguf();
  file.maps_ = file.gguf_->maps();
  file.weights_ = std::move(weights);
  return file;
}

}  // namespace minke
