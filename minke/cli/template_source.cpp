#include "minke/cli/template_source.h"

#include <filesystem>

#include "minke/base/files.h"
#include "minke/format/gguf.h"
#include "minke/hub/model_store.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

// tokenizer_config.json may list thousands of added tokens; templates themselves are below 1 MiB.
constexpr size_t kFileBytesMax = size_t{64} << 20;

std::optional<std::string> token_text(const GgufArray& tokens, Result<uint64_t> id) {
  if (!id || tokens.element_type() != GgufType::kString) return {};
  uint64_t at = 0;
  for (const std::string_view token : tokens.strings()) {
    if (at++ == *id) return std::string(token);
  }
  return {};
}

Result<TemplateSource> from_gguf(const fs::path& path) {
  MK_ASSIGN(const GgufFile file, GgufFile::open(path));
  TemplateSource source;
  MK_ASSIGN(source.text, file.get_string_or("tokenizer.chat_template", ""));
  if (source.text.empty()) {
    return fail(ErrorCode::kUsage, "{} has no chat template (tokenizer.chat_template)",
                path.string());
  }
  if (const Result<GgufArray> tokens = file.get_array("tokenizer.ggml.tokens")) {
    source.bos_token = token_text(*tokens, file.get_uint("tokenizer.ggml.bos_token_id"));
    source.eos_token = token_text(*tokens, file.get_uint("tokenizer.ggml.eos_token_id"));
  }
  return source;
}

/// A special token is a string, or an object with its text in "content".
std::optional<std::string> special_token(const Json& config, std::string_view name) {
  const Json* token = config.find(name);
  if (token != nullptr && token->is_object()) token = token->find("content");
  if (token == nullptr || !token->is_string()) return {};
  return token->as_string();
}

/// The member "template" of the entry with that name in [{"name": ..., "template": ...}].
const Json* named_template(const Json& list, std::string_view name) {
  for (const Json& entry : list.as_array()) {
    const Json* const found = entry.find("name");
    if (found != nullptr && *found == Json(name)) return entry.find("template");
  }
  return nullptr;
}

Result<TemplateSource> from_json(const fs::path& path, bool with_tools) {
  MK_ASSIGN(const std::string text, read_file(path, kFileBytesMax));
  const Result<Json> config = parse_json(text);
  if (!config) {
    return fail(ErrorCode::kCorrupt, "{}: {}", path.string(), config.error().message);
  }
  const Json* chat_template = config->find("chat_template");
  if (chat_template != nullptr && chat_template->is_array()) {
    const Json& list = *chat_template;
    chat_template = with_tools ? named_template(list, "tool_use") : nullptr;
    if (chat_template == nullptr) chat_template = named_template(list, "default");
  }
  if (chat_template == nullptr || !chat_template->is_string()) {
    return fail(ErrorCode::kUsage, "{} has no chat_template, expected a tokenizer_config.json",
                path.string());
  }
  TemplateSource source;
  source.text = chat_template->as_string();
  source.bos_token = special_token(*config, "bos_token");
  source.eos_token = special_token(*config, "eos_token");
  for (const char* name : {"unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    if (const auto token = special_token(*config, name)) source.other_tokens.set(name, *token);
  }
  return source;
}

/// A Hugging Face folder: newer ones have the template in a file of its own.
Result<TemplateSource> from_folder(const fs::path& folder, bool with_tools) {
  const fs::path config = folder / "tokenizer_config.json";
  const fs::path text = folder / "chat_template.jinja";
  std::error_code error;
  if (!fs::exists(text, error)) {
    if (fs::exists(config, error)) return from_json(config, with_tools);
    return fail(ErrorCode::kUsage, "{} has neither chat_template.jinja nor tokenizer_config.json",
                folder.string());
  }
  TemplateSource source;
  // Its special tokens are still in the configuration; a template there is overruled.
  if (Result<TemplateSource> tokens = from_json(config, with_tools)) source = std::move(*tokens);
  MK_ASSIGN(source.text, read_file(text, kFileBytesMax));
  return source;
}

bool is_gguf(const fs::path& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file || file->bytes().size() < 4) return false;
  return std::string_view(reinterpret_cast<const char*>(file->bytes().data()), 4) == "GGUF";
}

}  // namespace

Result<TemplateSource> find_template(const std::string& name_or_path, bool with_tools) {
  const fs::path given(name_or_path);
  std::error_code error;
  if (fs::is_directory(given, error)) return from_folder(given, with_tools);
  MK_ASSIGN(const fs::path path, ModelStore::open_default().resolve(name_or_path));
  if (path.extension() == ".gguf" || is_gguf(path)) return from_gguf(path);
  if (path.extension() == ".json") return from_json(path, with_tools);
  TemplateSource source;
  MK_ASSIGN(source.text, read_file(path, kFileBytesMax));
  return source;
}

}  // namespace minke
