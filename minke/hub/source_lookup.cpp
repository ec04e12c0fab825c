#include "minke/hub/source_lookup.h"

#include "minke/hub/file_choice.h"
#include "minke/hub/known_models.h"

namespace minke {
namespace {

bool is_of_source(const Manifest& manifest, const ModelSource& source) {
  if (manifest.source != source.text()) return false;
  if (!source.revision.empty() && manifest.revision != source.revision) return false;
  if (source.hub == Hub::kUrl) return true;
  if (source.which.empty()) return true;
  std::vector<RemoteFile> files;
  for (const ManifestFile& file : manifest.all_files()) {
    files.push_back({file.name, file.size_bytes, file.sha256, ""});
  }
  // In the store, files lie flat.
  const std::string which = source.which.substr(source.which.rfind('/') + 1);
  return choose_files(files, which, manifest.name).has_value();
}

}  // namespace

std::optional<StoredModel> find_by_source(const ModelStore& store, const ModelSource& source) {
  for (StoredModel& model : store.list()) {
    if (is_of_source(model.manifest, source)) return std::move(model);
  }
  return std::nullopt;
}

Result<std::filesystem::path> resolve_source(const ModelStore& store, const std::string& text) {
  MK_ASSIGN(const HubSettings settings, HubSettings::from_environment());
  const Result<ModelSource> source = parse_source(text, settings);
  if (!source) return fail(ErrorCode::kNotFound, "no model or file '{}'", text);
  if (const auto model = find_by_source(store, *source)) return model->path();
  return fail(ErrorCode::kNotFound,
              "there is no file '{}', and no such model on this machine; if it is a repository, "
              "get it with: minke pull {}",
              text, text);
}

std::string pull_command(const Manifest& manifest) {
  if (find_known_model(manifest.name) != nullptr || manifest.source.starts_with("pip ")) {
    return fmt::format("minke pull {}", manifest.name);
  }
  std::string source = manifest.source;
  const bool is_url = source.find("://") != std::string::npos;
  if (manifest.file != "." && !is_url) source += ":" + manifest.file;
  return fmt::format("minke pull {} --name {}", source, manifest.name);
}

}  // namespace minke
