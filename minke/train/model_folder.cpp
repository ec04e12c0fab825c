#include "minke/train/model_folder.h"

#include <array>
#include <cstring>
#include <system_error>

#include "minke/base/files.h"
#include "minke/convert/folder_files.h"
#include "minke/convert/hf_config.h"
#include "minke/convert/hf_tokenizer.h"
#include "minke/convert/output_folder.h"
#include "minke/convert/parameter_tensors.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr std::array kTokenizerFiles = {"tokenizer.json", "tokenizer_config.json",
                                        "special_tokens_map.json", "chat_template.jinja",
                                        "generation_config.json"};
constexpr size_t kConfigBytesMax = size_t{4} << 20;

Result<Json> files_of_gguf(const ModelFile& source, const fs::path& folder) {
  MK_ASSIGN(Json config, hf_config(*source.gguf(), source.config(), DType::kF32));
  if (source.gguf()->find_value("tokenizer.ggml.model") != nullptr) {
    MK_ASSIGN(const HfTokenizer tokenizer, hf_tokenizer(*source.gguf()));
    MK_TRY(write_hf_tokenizer(tokenizer, folder, config));
  }
  return config;
}

}  // namespace

Result<void> make_model_folder(const ModelFile& source, const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error)) return {};
  MK_ASSIGN(OutputFolder output, OutputFolder::create(folder));
  Json config = source.config_json();
  if (source.gguf() != nullptr) {
    MK_ASSIGN(config, files_of_gguf(source, output.path()));
  } else {
    MK_TRY(copy_other_files(source.folder(), output.path(), true));
  }
  MK_TRY(write_file_atomic(output.path() / "config.json", config.dump(2) + "\n"));
  return output.commit();
}

Result<void> make_new_model_folder(const Json& config, const fs::path& tokenizer,
                                   const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error)) return {};
  MK_ASSIGN(OutputFolder output, OutputFolder::create(folder));
  for (const char* name : kTokenizerFiles) {
    if (tokenizer.empty() || !fs::exists(tokenizer / name, error)) continue;
    MK_ASSIGN(const std::string text, read_file(tokenizer / name));
    MK_TRY(write_file_atomic(output.path() / name, text));
  }
  MK_TRY(write_file_atomic(output.path() / "config.json", config.dump(2) + "\n"));
  return output.commit();
}

Result<void> write_model(const Model& model, int num_threads, const fs::path& model_folder,
                         const fs::path& to) {
  MK_TRY(copy_other_files(model_folder, to, true));
  MK_ASSIGN(const std::string text, read_file(model_folder / "config.json", kConfigBytesMax));
  MK_ASSIGN(Json config, parse_json(text));
  WriteTensorsOptions options;
  options.num_threads = num_threads;
  return write_parameters(model, std::move(config), to, options);
}

Result<void> read_weights(const Device& device, const fs::path& folder, Model& model) {
  MK_ASSIGN(const TrainableModel saved, load_for_training(device, folder, 1));
  const auto& from = saved.model->parameters().parameters();
  auto& to = model.parameters().parameters();
  bool is_same = from.size() == to.size();
  for (size_t i = 0; is_same && i < to.size(); ++i) {
    is_same = from[i].names == to[i].names && from[i].value.shape() == to[i].value.shape();
  }
  if (!is_same) {
    return fail(ErrorCode::kCorrupt, "the weights in {} are of another model", folder.string());
  }
  for (size_t i = 0; i < to.size(); ++i) {
    std::memcpy(to[i].value.view().data, from[i].value.view().data,
                static_cast<size_t>(dtype_bytes(to[i].value.dtype(), to[i].value.num_elements())));
  }
  model.parameters().changed();
  return {};
}

}  // namespace minke
