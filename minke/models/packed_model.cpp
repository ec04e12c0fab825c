#include "minke/models/packed_model.h"

#include <optional>

namespace minke {
namespace {

namespace fs = std::filesystem;

// The model from the packed file at `path`; nothing if that is not there, damaged, or of others.
Result<std::optional<std::unique_ptr<Model>>> load_packed(const Device& device,
                                                          const ModelFile& file,
                                                          LoadOptions options, const fs::path& path,
                                                          const std::string& identity,
                                                          uint64_t memory_bytes) {
  auto packed = PackedFile::open(path);
  if (!packed || packed->label().identity != identity) return std::nullopt;
  packed->copy_to_memory(memory_bytes);
  options.panels = &*packed;
  auto model = load_model(device, file.weights(), file.config(), options);
  if (!model && packed->lacks()) return std::nullopt;
  if (!model) return pass_on(model);
  return std::move(*model);
}

Result<void> check_unchanged(const ModelFile& file) {
  for (const MappedFile& map : file.maps()) {
    const auto now = file_stamp(map.path());
    if (now && *now == map.stamp()) continue;
    return fail(ErrorCode::kFailed,
                "{} changed while its weights were packed; run the command again when it is "
                "complete",
                map.path().string());
  }
  return {};
}

Result<void> pack_model(const Device& device, const ModelFile& file, LoadOptions options,
                        const std::string& identity, PackedFileWriter& writer) {
  options.panels = &writer;
  MK_TRY(load_model(device, file.weights(), file.config(), options));
  MK_TRY(check_unchanged(file));
  PackedLabel label{identity, {}};
  for (const MappedFile& map : file.maps()) {
    std::error_code ignored;
    label.sources.push_back({fs::weakly_canonical(map.path(), ignored).string(), map.stamp()});
  }
  return writer.commit(label);
}

}  // namespace

Result<PanelCounter> count_panels(const Device& device, const ModelFile& file,
                                  const LoadOptions& options) {
  PanelCounter counter;
  LoadOptions counting = options;
  counting.panels = &counter;
  MK_TRY(load_model(device, file.weights(), file.config(), counting));
  return counter;
}

Result<std::unique_ptr<Model>> load_packed_model(const Device& device, const ModelFile& file,
                                                 const LoadOptions& options,
                                                 const PackedModelOptions& packed,
                                                 PackedFileWriter::Progress progress) {
  const fs::path path = packed_path(device, file, options, packed.folder);
  const std::string identity = packed_identity(device, file, options);
  const auto load = [&] {
    return load_packed(device, file, options, path, identity, packed.memory_bytes);
  };
  MK_ASSIGN(auto model, load());
  if (model) return std::move(*model);
  {
    MK_ASSIGN(PackedFileWriter writer, PackedFileWriter::create(path, progress));
    // Another process may have made it while this one waited.
    MK_ASSIGN(model, load());
    if (model) return std::move(*model);
    std::error_code ignored;
    fs::remove(path, ignored);  // of no use any more, and its room is needed
    LoadOptions all = options;
    all.mtp_modules = 1;  // the engine guesses with the first one
    MK_ASSIGN(const PanelCounter counter, count_panels(device, file, all));
    MK_TRY(writer.check_room(static_cast<uint64_t>(counter.bytes())));
    MK_TRY(pack_model(device, file, all, identity, writer));
  }
  MK_ASSIGN(model, load());
  if (model) return std::move(*model);
  return fail(ErrorCode::kFailed, "the packed weights {} were deleted or damaged as they were made",
              path.string());
}

}  // namespace minke
