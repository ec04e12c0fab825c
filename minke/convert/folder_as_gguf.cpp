#include "minke/convert/folder_as_gguf.h"

#include <fmt/format.h>

#include <utility>

#include "minke/convert/gguf_config.h"
#include "minke/convert/gguf_tensors.h"
#include "minke/convert/gguf_tokenizer.h"
#include "minke/models/registry.h"

namespace minke {

namespace {

// Those that are there: many files have the setting and not the weights.
int64_t num_mtp_modules(const SafetensorsFile& weights, const ModelConfig& config) {
  int64_t count = 0;
  while (count < config.num_nextn_predict_layers &&
         weights.find(fmt::format("model.layers.{}.eh_proj.weight",
                                  config.num_hidden_layers + count)) != nullptr) {
    ++count;
  }
  return count;
}

}  // namespace

Result<FolderAsGguf> folder_as_gguf(const HfFolder& folder, std::string_view model_name,
                                    std::optional<DType> type, bool with_tokenizer) {
  FolderAsGguf out;
  MK_ASSIGN(out.config, config_from_hf_json(folder.config));
  out.config.num_nextn_predict_layers = num_mtp_modules(folder.weights, out.config);
  MK_ASSIGN(GgufTensors planned, plan_gguf(folder.weights, out.config, type));
  out.tensors = std::move(planned.tensors);
  MK_ASSIGN(out.metadata, gguf_config(folder.config, out.config, model_name));
  out.metadata.add("tokenizer.ggml.model", "none");  // which llama.cpp asks for
  if (with_tokenizer) {
    MK_ASSIGN(const bool found, add_gguf_tokenizer(folder, out.config.vocab_size, out.metadata));
    if (!found) {
      out.notes.emplace_back(
          "the folder has no tokenizer.json: the file has no tokenizer, so that it can be run on "
          "token ids only");
    }
  }
  if (!planned.left_out.empty()) out.notes.push_back(left_out_note(planned.left_out));
  return out;
}

}  // namespace minke
