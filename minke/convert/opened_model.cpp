#include "minke/convert/opened_model.h"

#include <utility>

#include "minke/convert/gguf_tensors.h"
#include "minke/models/model_file.h"
#include "minke/models/registry.h"
#include "minke/text/tokenizer_file.h"

namespace minke {

Result<OpenedModel> OpenedModel::open(const std::filesystem::path& path) {
  OpenedModel out;
  out.path = path;
  if (ModelFile::names_folder(path)) {
    MK_ASSIGN(out.folder, HfFolder::open(path));
    MK_ASSIGN(out.config, config_from_hf_json(out.folder->config));
    MK_TRY(out.folder->weights.attach_scales(out.config.fp8_blocks));
  } else {
    MK_ASSIGN(out.gguf, GgufFile::open(path));
    MK_ASSIGN(out.config, config_from_gguf(*out.gguf));
  }
  return out;
}

Result<std::optional<Tokenizer>> OpenedModel::tokenizer() const {
  std::optional<Tokenizer> out;
  if (gguf) {
    MK_ASSIGN(const std::string_view model, gguf->get_string_or("tokenizer.ggml.model", "none"));
    if (model == "none") return out;
    MK_ASSIGN(out, Tokenizer::from_gguf(*gguf));
    return out;
  }
  std::error_code error;
  if (!std::filesystem::exists(folder->folder / "tokenizer.json", error)) return out;
  MK_ASSIGN(out, open_tokenizer(folder->folder));
  return out;
}

Result<std::vector<PlannedTensor>> OpenedModel::decoded_tensors(bool as_gguf) const {
  if (folder && as_gguf) {
    MK_ASSIGN(GgufTensors planned, plan_gguf(folder->weights, config, DType::kF32));
    return std::move(planned.tensors);
  }
  std::vector<PlannedTensor> out;
  for (const WeightInfo& info : file().weights()) {
    const bool has_floats = dtype_info(info.dtype).decode != nullptr;
    out.push_back(same_rows(info.name, has_floats ? DType::kF32 : info.dtype, info));
  }
  return out;
}

}  // namespace minke
