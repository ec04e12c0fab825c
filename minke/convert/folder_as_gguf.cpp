#include "minke/convert/folder_as_gguf.h"

#include <utility>

#include "minke/convert/gguf_config.h"
#include "minke/convert/gguf_tensors.h"
#include "minke/convert/gguf_tokenizer.h"
#include "minke/models/registry.h"

namespace minke {

Result<FolderAsGguf> folder_as_gguf(const HfFolder& folder, std::string_view model_name,
                                    std::optional<DType> type, bool with_tokenizer) {
  FolderAsGguf out;
  MK_ASSIGN(out.config, config_from_hf_json(folder.config));
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
