#include "minke/hub/model_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "minke/base/files.h"
#include "minke/base/nearest_name.h"
#include "minke/hub/known_models.h"
#include "minke/hub/model_source.h"
#include "minke/hub/source_lookup.h"

namespace minke {
namespace {

namespace fs = std::filesystem;

constexpr const char* kManifestFile = "manifest.json";

Result<std::string> text_member(const Json& json, std::string_view key) {
  const Json* member = json.find(key);
  if (member == nullptr || !member->is_string()) {
    return fail(ErrorCode::kCorrupt, "manifest: '{}' is {}, expected a string", key,
                member == nullptr ? "missing" : member->kind());
  }
  return member->as_string();
}

Result<uint64_t> size_member(const Json& json) {
  const Json* size = json.find("size_bytes");
  if (size == nullptr || !size->is_int() || size->as_int() < 0) {
    return fail(ErrorCode::kCorrupt, "manifest: 'size_bytes' is no number of bytes");
  }
  return static_cast<uint64_t>(size->as_int());
}

// The member "files", which models of one file do not have.
Result<std::vector<ManifestFile>> file_members(const Json& json) {
  std::vector<ManifestFile> files;
  const Json* rows = json.find("files");
  if (rows == nullptr) return files;
  if (!rows->is_array()) {
    return fail(ErrorCode::kCorrupt, "manifest: 'files' is {}, expected an array", rows->kind());
  }
  for (const Json& row : rows->as_array()) {
    ManifestFile file;
    MK_ASSIGN(file.name, text_member(row, "name"));
    MK_ASSIGN(file.sha256, text_member(row, "sha256"));
    MK_ASSIGN(file.size_bytes, size_member(row));
    if (!is_model_name(file.name)) {
      return fail(ErrorCode::kCorrupt, "manifest: '{}' is no plain name", file.name);
    }
    files.push_back(std::move(file));
  }
  return files;
}

Result<Manifest> read_manifest(const fs::path& folder) {
  const fs::path path = folder / kManifestFile;
  MK_ASSIGN(const std::string text, read_file(path, size_t{1} << 20));
  const Result<Json> json = parse_json(text);
  if (!json) return fail(ErrorCode::kCorrupt, "{}: {}", path.string(), json.error().message);
  Result<Manifest> manifest = Manifest::from_json(*json);
  if (!manifest) {
    return fail(ErrorCode::kCorrupt, "{}: {}", path.string(), manifest.error().message);
  }
  if (manifest->name != folder.filename()) {
    return fail(ErrorCode::kCorrupt, "{}: it is the manifest of '{}'", path.string(),
                manifest->name);
  }
  return manifest;
}

Result<void> sync_path(const fs::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  const int code = errno;
  if (fd >= 0) ::close(fd);
  if (synced) return {};
  return fail(ErrorCode::kFailed, "cannot sync {}: {}", path.string(), std::strerror(code));
}

Result<void> rename_path(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return fail(ErrorCode::kFailed, "cannot rename {} to {}: {}", from.string(), to.string(),
              std::strerror(errno));
}

// Renames the folder to a name that no list shows, then deletes it. Needs the model's lock.
Result<void> discard_model(const fs::path& store, const std::string& name) {
  const fs::path doomed = store / (".removed-" + name);
  std::error_code error;
  fs::remove_all(doomed, error);
  MK_TRY(rename_path(store / name, doomed));
  fs::remove_all(doomed, error);
  if (!error) return {};
  return fail(ErrorCode::kFailed, "cannot delete {}: {}", doomed.string(), error.message());
}

// The lock of a model, or an error when another process has it.
Result<int> take_lock(const fs::path& store, const std::string& name) {
  std::error_code error;
  fs::create_directories(store, error);
  const fs::path path = store / (".lock-" + name);
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) {
    return fail(ErrorCode::kFailed, "cannot create {}: {}", path.string(), std::strerror(errno));
  }
  if (::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  const bool is_held = errno == EWOULDBLOCK;
  ::close(fd);
  if (is_held) {
    return fail(ErrorCode::kFailed, "another minke process is changing {}; wait for it to end",
                name);
  }
  return fail(ErrorCode::kFailed, "cannot lock {}", path.string());
}

}  // namespace

bool is_model_name(std::string_view name) {
  if (name.empty() || name.size() > 128 || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return (c < 128 && std::isalnum(c) != 0) || c == '.' || c == '_' || c == '-';
  });
}

std::vector<ManifestFile> Manifest::all_files() const {
  return files.empty() ? std::vector<ManifestFile>{{file, sha256, size_bytes}} : files;
}

Json Manifest::to_json() const {
  Json json = Json::object({{"name", name},
                            {"file", file},
                            {"sha256", sha256},
                            {"source", source},
                            {"license", license},
                            {"size_bytes", size_bytes}});
  if (!revision.empty()) json.set("revision", revision);
  if (files.empty()) return json;
  Json::Array rows;
  for (const ManifestFile& each : files) {
    rows.push_back(Json::object(
        {{"name", each.name}, {"sha256", each.sha256}, {"size_bytes", each.size_bytes}}));
  }
  json.set("files", std::move(rows));
  return json;
}

Result<Manifest> Manifest::from_json(const Json& json) {
  Manifest manifest;
  MK_ASSIGN(manifest.name, text_member(json, "name"));
  MK_ASSIGN(manifest.file, text_member(json, "file"));
  MK_ASSIGN(manifest.sha256, text_member(json, "sha256"));
  MK_ASSIGN(manifest.source, text_member(json, "source"));
  MK_ASSIGN(manifest.license, text_member(json, "license"));
  MK_ASSIGN(manifest.size_bytes, size_member(json));
  if (json.find("revision") != nullptr) {
    MK_ASSIGN(manifest.revision, text_member(json, "revision"));
  }
  MK_ASSIGN(manifest.files, file_members(json));
  const bool is_folder = manifest.file == "." && !manifest.files.empty();
  if (!is_model_name(manifest.name) || !(is_model_name(manifest.file) || is_folder)) {
    return fail(ErrorCode::kCorrupt, "manifest: '{}' or '{}' is no plain name", manifest.name,
                manifest.file);
  }
  return manifest;
}

ModelStore ModelStore::open_default() {
  return ModelStore(folders_from_environment().data / "models");
}

std::vector<StoredModel> ModelStore::list(std::vector<std::string>* broken) const {
  std::vector<StoredModel> models;
  std::error_code error;
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    std::error_code ignored;
    if (!is_model_name(name) || !at->is_directory(ignored)) continue;
    if (Result<StoredModel> model = find(name)) {
      models.push_back(std::move(*model));
    } else if (broken != nullptr) {
      broken->push_back(fmt::format("{}: {}", name, model.error().message));
    }
  }
  std::sort(models.begin(), models.end(), [](const StoredModel& a, const StoredModel& b) {
    return a.manifest.name < b.manifest.name;
  });
  return models;
}

Result<StoredModel> ModelStore::find(const std::string& name) const {
  std::error_code error;
  if (!is_model_name(name) || !fs::is_directory(folder_ / name, error)) {
    std::vector<std::string> names;
    for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
      if (is_model_name(at->path().filename().string())) names.push_back(at->path().filename());
    }
    return fail(ErrorCode::kNotFound, "no model '{}' in {}{}", name, folder_.string(),
                did_you_mean(name, names));
  }
  StoredModel model{{}, folder_ / name};
  MK_ASSIGN(model.manifest, read_manifest(model.folder));
  const std::string again = pull_command(model.manifest);
  for (const ManifestFile& file : model.manifest.all_files()) {
    const fs::path path = model.folder / file.name;
    const uintmax_t size = fs::file_size(path, error);
    if (error) {
      return fail(ErrorCode::kCorrupt, "{} is missing; get it again with: {}", path.string(),
                  again);
    }
    if (size != file.size_bytes) {
      return fail(ErrorCode::kCorrupt, "{} has {} bytes, expected {}; get it again with: {}",
                  path.string(), size, file.size_bytes, again);
    }
  }
  return model;
}

Result<fs::path> ModelStore::resolve(const std::string& name_or_path) const {
  Result<StoredModel> model = find(name_or_path);
  if (model) return model->path();
  if (model.error().code != ErrorCode::kNotFound) return pass_on(model);
  std::error_code error;
  if (fs::is_regular_file(name_or_path, error)) return fs::path(name_or_path);
  if (fs::exists(fs::path(name_or_path) / "config.json", error)) return fs::path(name_or_path);
  if (fs::exists(name_or_path, error)) {
    return fail(ErrorCode::kUsage,
                "{} is no model; give a .gguf file, a folder with config.json and weights, or a "
                "name from minke list",
                name_or_path);
  }
  if (find_known_model(name_or_path) != nullptr) {
    return fail(ErrorCode::kNotFound, "model {} is not on this machine; get it with: minke pull {}",
                name_or_path, name_or_path);
  }
  if (looks_like_source(name_or_path)) return resolve_source(*this, name_or_path);
  std::vector<std::string> names = known_model_names();
  for (const StoredModel& stored : list()) names.push_back(stored.manifest.name);
  return fail(ErrorCode::kNotFound, "no model or file '{}'{}; minke list shows what there is",
              name_or_path, did_you_mean(name_or_path, names));
}

bool ModelStore::has_leftovers(const std::string& name) const {
  std::error_code error;
  return is_model_name(name) && fs::is_directory(folder_ / (".incoming-" + name), error);
}

Result<void> ModelStore::remove(const std::string& name) const {
  std::error_code error;
  const fs::path incoming = folder_ / (".incoming-" + name);
  // A model whose manifest is broken can be removed, too.
  const bool is_there = is_model_name(name) && fs::is_directory(folder_ / name, error);
  if (!is_there && !has_leftovers(name)) return pass_on(find(name));
  MK_ASSIGN(const int lock, take_lock(folder_, name));
  fs::remove_all(incoming, error);
  Result<void> removed;
  if (is_there) removed = discard_model(folder_, name);
  ::close(lock);
  return removed;
}

Result<std::unique_ptr<ModelStore::Incoming>> ModelStore::begin(const std::string& name,
                                                                Leftovers leftovers) const {
  if (!is_model_name(name)) {
    return fail(ErrorCode::kUsage, "'{}' cannot be a model's name: letters, digits and ._- only",
                name);
  }
  MK_ASSIGN(const int lock, take_lock(folder_, name));
  const fs::path folder = folder_ / (".incoming-" + name);
  std::unique_ptr<Incoming> incoming(new Incoming(folder_, folder, lock, leftovers));
  std::error_code error;
  if (leftovers == Leftovers::kClear) fs::remove_all(folder, error);
  if (!error) fs::create_directory(folder, error);
  if (error) {
    return fail(ErrorCode::kFailed, "cannot create {}: {}", folder.string(), error.message());
  }
  return incoming;
}

ModelStore::Incoming::~Incoming() {
  std::error_code ignored;
  if (leftovers_ == Leftovers::kClear) fs::remove_all(folder_, ignored);
  ::close(lock_);
}

Result<StoredModel> ModelStore::Incoming::commit(const Manifest& manifest, const fs::path& file) {
  std::error_code error;
  fs::create_directory(complete(), error);
  MK_TRY(rename_path(file, complete() / manifest.file));
  return commit(manifest);
}

Result<StoredModel> ModelStore::Incoming::commit(const Manifest& manifest) {
  const fs::path staging = complete();
  const fs::path target = store_ / manifest.name;
  std::error_code error;
  const std::vector<ManifestFile> files = manifest.all_files();
  std::vector<fs::path> strangers;
  for (const auto& entry : fs::directory_iterator(staging, error)) {
    const bool is_ours = std::any_of(files.begin(), files.end(), [&](const ManifestFile& file) {
      return entry.path().filename() == file.name;
    });
    if (!is_ours) strangers.push_back(entry.path());
  }
  for (const fs::path& path : strangers) fs::remove_all(path, error);
  for (const ManifestFile& file : files) MK_TRY(sync_path(staging / file.name, O_RDONLY));
  MK_TRY(write_file_atomic(staging / kManifestFile, manifest.to_json().dump(2) + "\n"));
  MK_TRY(sync_path(staging, O_RDONLY | O_DIRECTORY));
  if (fs::exists(target, error)) MK_TRY(discard_model(store_, manifest.name));
  MK_TRY(rename_path(staging, target));
  MK_TRY(sync_path(store_, O_RDONLY | O_DIRECTORY));
  fs::remove_all(folder_, error);
  return StoredModel{manifest, target};
}

}  // namespace minke
